#!/usr/bin/env bash
# How far error feedback's gain at the output of every linear holds on text that it did not learn from, by how much it
# learnt from.
#
#   bench/held_out_error.sh [PROGRAM] [MODEL] [TYPE] [WINDOWS...]
#
# MODEL is an F16 GGUF file below /tmp (default: that of `small` that ../shared/models/make-gguf.sh writes), TYPE a
# block format (IQ2_XS), WINDOWS numbers of windows of 256 tokens (16 64 256). For each the model is encoded plainly, with
# importance from as many windows, and with feedback, every layer for itself: the original's inputs x are then what both
# minimise |(W - Q) x|^2 for. held_out_error.py compares these errors on the windows learnt from and on 128 others.
# Needs the peers, for numpy and llama.cpp's gguf.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-build/tessera}
model=${2:-}
type=${3:-IQ2_XS}
shift $(($# < 3 ? $# : 3))
windows=("$@")
[[ ${#windows[@]} -gt 0 ]] || windows=(16 64 256)
shared=../shared
[[ -n $model ]] || model=$("$shared/models/make-gguf.sh" | grep small)
work=$(mktemp -d /tmp/held-out-error.XXXXXX)
trap 'rm -rf "$work"' EXIT

quantize() {  # OUTPUT WINDOWS TEXT TEXT [OPTION...]
  local output=$1 count=$2 first=$3 second=$4
  shift 4
  "$program" quantize "$model" -o "$output" --type "$type" --pure --token-embedding-type F16 --output-tensor-type F16 \
    -f "$shared/data/$first" -f "$shared/data/$second" --ctx 256 --samples "$count" --quiet "$@"
}

feedback=(--encoder feedback --no-sequential --feedback-samples)
quantize "$work/other.gguf" 128 wiki.test.txt books.test.txt "${feedback[@]}" 128 --keep-hessians "$work/held-out"
for count in "${windows[@]}"; do
  quantize "$work/plain-$count.gguf" "$count" books.calibration.txt wiki.valid.txt
  quantize "$work/feedback-$count.gguf" "$count" books.calibration.txt wiki.valid.txt "${feedback[@]}" "$count" \
    --keep-hessians "$work/learnt-$count"
done
"$shared/peers/run" python3 bench/held_out_error.py "$model" "$work" "${windows[@]}"
