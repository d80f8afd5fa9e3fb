#!/usr/bin/env bash
# Makes Hugging Face folders of GGUF files and judges them by transformers; exits with 1 when anything differs.
#
#   compare_hf_folder.sh TESSERA PEERS_RUN TEXT VOCABULARIES OUT [FOLDER...]
#
# TESSERA is the program; PEERS_RUN runs a command where torch, transformers and gguf are installed. Random models of
# every family (trained vocabularies on TEXT) and each FOLDER go to GGUF, to a folder and to GGUF again: weights, logits
# and token ids (of TEXT) of the folder must equal those of the original, and the second GGUF file the first. Every
# VOCABULARIES/NAME.gguf becomes a folder whose token ids must be those of its NAME.gguf.inp and .out. OUT is made.
set -euo pipefail
tessera=$(realpath "$1") peers=$(realpath "$2") text=$(realpath "$3") vocabularies=$(realpath "$4") out=$5
shift 5
tools=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
mkdir -p "$out"
out=$(realpath "$out")
status=0

judge() { "$peers" python3 "$tools/compare_hf_folder.py" "$@" 2>"$out/judge.log" </dev/null ||
  { status=1; grep -A 20 Traceback "$out/judge.log" >&2 || true; }; }

"$peers" python3 "$tools/make_random_models.py" "$text" "$out/models" >"$out/make.log" 2>&1 ||
  { tail -n 5 "$out/make.log" >&2; exit 1; }
folders=("$@")
while read -r name _; do folders+=("$out/models/$name"); done <"$out/models/models.txt"
for folder in "${folders[@]}"; do
  name=$(basename "$folder") type=auto
  grep -q 'dtype": "float32"' "$folder/config.json" && type=f32
  "$tessera" convert "$folder" -o "$out/$name.gguf" --type $type --quiet
  rm -rf "${out:?}/$name" && "$tessera" convert "$out/$name.gguf" -o "$out/$name" --quiet
  "$tessera" convert "$out/$name" -o "$out/$name-again.gguf" --type $type --quiet
  printf '%-14s ' "$name"
  judge model "$folder" "$out/$name" "$text"
  printf '%-14s second GGUF file: ' "$name"
  "$peers" python3 "$tools/compare_gguf.py" "$out/$name.gguf" "$out/$name-again.gguf" </dev/null || status=1
done

for vocabulary in "$vocabularies"/*.gguf; do
  name=$(basename "$vocabulary" .gguf)
  "$peers" python3 "$tools/make_vocabulary_model.py" "$vocabulary" "$out/$name.gguf" </dev/null
  rm -rf "${out:?}/$name" && "$tessera" convert "$out/$name.gguf" -o "$out/$name" --quiet
  printf '%-14s ' "$name"
  judge tokens "$out/$name" "$vocabulary.inp" "$vocabulary.out"
done
exit $status
