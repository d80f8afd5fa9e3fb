#!/usr/bin/env bash
# Converts random models of every family with llama.cpp's converter and with ours, and compares the files.
#
#   compare_convert.sh TESSERA PEERS_RUN TEXT OUT
#
# TESSERA is the program; PEERS_RUN runs a command where llama.cpp's converter, torch and transformers are installed;
# TEXT trains the vocabularies; OUT (new) receives OUT/models/NAME, OUT/reference/NAME-TYPE.gguf and OUT/ours/. Exits
# with 1 when any pair of files differs.
set -euo pipefail
tessera=$(realpath "$1") peers=$(realpath "$2") text=$(realpath "$3") out=$4
tools=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
converter=${CONVERTER:-/usr/share/doc/llama.cpp-tools/scripts/convert_hf_to_gguf.py}
mkdir -p "$out/reference" "$out/ours"
out=$(realpath "$out")
"$peers" python3 "$tools/make_random_models.py" "$text" "$out/models" >"$out/make.log" 2>&1 ||
  { tail -n 5 "$out/make.log" >&2; exit 1; }
status=0
while read -r name pre_tokenizer; do
  for type in ${TYPES:-auto f32 f16 bf16}; do
    "$peers" python3 "$tools/reference_convert.py" "$converter" "$pre_tokenizer" "$out/models/$name" \
      --outfile "$out/reference/$name-$type.gguf" --outtype "$type" >"$out/convert.log" 2>&1 </dev/null ||
      { tail -n 5 "$out/convert.log" >&2; exit 1; }
    "$tessera" convert "$out/models/$name" -o "$out/ours/$name-$type.gguf" --type "$type" --quiet
    printf '%s %s: ' "$name" "$type"
    "$peers" python3 "$tools/compare_gguf.py" "$out/reference/$name-$type.gguf" "$out/ours/$name-$type.gguf" \
      </dev/null || status=1
  done
done <"$out/models/models.txt"
exit $status
