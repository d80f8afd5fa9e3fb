#!/usr/bin/env bash
# The demo: a Hugging Face folder becomes a GGUF file, then one of 2.5 bits per weight that llama.cpp loads, with every
# tensor at the precision it needs; a table says what it lost, beside files of the same size in which all matrices have
# one type.
#
#   tools/demo.sh PROGRAM OUTPUT_DIR
set -euo pipefail
program=$(realpath "$1")
output=$2
model=$(dirname "$0")/../testdata/demo-model
text=$(dirname "$0")/../testdata/demo.txt
mkdir -p "$output"

step() {
  printf '\n$ tessera %s\n' "$*"
  "$program" "$@"
}

step convert "$model" -o "$output/demo-f16.gguf" --type f16
step quantize "$output/demo-f16.gguf" -o "$output/demo-dynamic.gguf" --dynamic --profile balanced --target-bpw 2.5 \
  -f "$text" --samples 32 --report "$output/demo-report.html" --report "$output/demo-report.json" --evaluate-samples 0 --no-cache
step imatrix "$output/demo-f16.gguf" -f "$text" -o "$output/demo-imatrix.gguf" --samples 32 --process-output --no-cache
for type in IQ2_S Q2_K; do
  step quantize "$output/demo-f16.gguf" -o "$output/demo-$type.gguf" --type "$type" --pure \
    --imatrix "$output/demo-imatrix.gguf" --quiet
done

# figure KEY: the number under KEY in the JSON on standard input.
figure() {
  sed -n "s/^ *\"$1\": \([-+.0-9e]*\),\{0,1\}$/\1/p" | head -n 1
}

printf '\n%-28s %10s %8s %12s %14s\n' "file" bytes bpw perplexity "KL divergence"
for name in demo-dynamic demo-IQ2_S demo-Q2_K; do
  report=$("$program" evaluate "$output/demo-f16.gguf" "$output/$name.gguf" -f "$text" --samples 0 --json --quiet)
  printf '%-28s %10d %8.3f %12.3f %14.5f\n' "$name.gguf" "$(stat -c %s "$output/$name.gguf")" \
    "$(figure bits_per_weight_quantized <<<"$report")" "$(figure perplexity_quantized <<<"$report")" \
    "$(figure kl_divergence_mean <<<"$report")"
done

printf '\nFiles in %s, ready for llama.cpp (for example llama-cli -m %s/demo-dynamic.gguf);\n' "$output" "$output"
printf 'the report of the run: %s/demo-report.html\n' "$output"
