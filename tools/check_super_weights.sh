#!/usr/bin/env bash
# Compares what `tessera superweights` finds by coverage with a sort of all scores in numpy, on real models, with and
# without an importance matrix, for several shares, cut at the fence and whole.
#
#   tools/check_super_weights.sh [PROGRAM] [MODEL...]
#
# MODELs are GGUF files of plain floats below /tmp (default: those that ../shared/models/make-gguf.sh writes).
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-build/tessera}
shift || true
models=("$@")
shared=../shared
if [[ ${#models[@]} -eq 0 ]]; then
  mapfile -t models < <("$shared/models/make-gguf.sh")
fi
work=$(mktemp -d /tmp/check-super-weights.XXXXXX)
trap 'rm -rf "$work"' EXIT

find_all() {  # OUTPUT_PREFIX MODEL [OPTION...]
  local prefix=$1 model=$2
  shift 2
  for share in 1e-6 1e-4 0.003 0.05; do
    "$program" superweights "$model" --notion coverage --coverage "$share" -o "$prefix-$share.json" --quiet "$@" >/dev/null
    "$program" superweights "$model" --notion coverage --coverage "$share" -o "$prefix-$share-whole.json" --whole-share \
      --quiet "$@" >/dev/null
  done
}

for model in "${models[@]}"; do
  echo "$model"
  find_all "$work/magnitude" "$model"
  "$shared/peers/run" python3 tools/check_super_weights.py "$model" "$work"/magnitude-*.json
  "$program" imatrix "$model" -f "$shared/data/books.calibration.txt" --samples 8 --process-output -o "$work/imatrix.gguf" \
    --quiet
  find_all "$work/activation" "$model" --imatrix "$work/imatrix.gguf"
  "$shared/peers/run" python3 tools/check_super_weights.py "$model" --imatrix "$work/imatrix.gguf" \
    "$work"/activation-*.json
  rm "$work"/*
done
