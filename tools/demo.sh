#!/usr/bin/env bash
# The demo: a Hugging Face folder becomes a GGUF file, then two quantized ones that llama.cpp loads, the smaller one
# with an importance matrix, and what that one lost.
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
step quantize "$output/demo-f16.gguf" -o "$output/demo-Q4_K_M.gguf" --type Q4_K_M
step imatrix "$output/demo-f16.gguf" -f "$text" -o "$output/demo-imatrix.gguf" --samples 32 --no-cache
step quantize "$output/demo-f16.gguf" -o "$output/demo-Q2_K.gguf" --type Q2_K --imatrix "$output/demo-imatrix.gguf"
step evaluate "$output/demo-f16.gguf" "$output/demo-Q2_K.gguf" -f "$text" --sampling random --samples 16

printf '\nFiles in %s, ready for llama.cpp (for example llama-cli -m %s/demo-Q4_K_M.gguf):\n' "$output" "$output"
for file in "$output"/demo-{f16,Q4_K_M,Q2_K}.gguf; do
  printf '%12d bytes  %s\n' "$(stat -c %s "$file")" "$file"
done
