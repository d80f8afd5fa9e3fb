#!/usr/bin/env bash
# Gives llama-quantize an exported plan and compares the type of every tensor of what it makes with the plan.
#
#   compare_plan.sh TESSERA PEERS_RUN MODEL PLAN TYPES TYPE OUT [IMATRIX]
#
# TESSERA is the program; PEERS_RUN runs a command where llama-quantize is installed; MODEL is a GGUF file; PLAN is a
# plan of it in YAML and TYPES the same plan for --tensor-type-file; TYPE is the file type, any quantized one; OUT (new)
# is the model that llama-quantize makes. Exits with 1 when a type differs. Tensors that the plan does not list must
# have the type they have in MODEL.
set -euo pipefail
tessera=$(realpath "$1") peers=$(realpath "$2") model=$(realpath "$3") plan=$4 types=$(realpath "$5") type=$6
out=$(realpath -m "$7")
options=()
[[ $# -lt 8 ]] || options+=(--imatrix "$(realpath "$8")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$peers" llama-quantize "${options[@]}" --tensor-type-file "$types" "$model" "$out" "$type" >"$work/log" 2>&1 </dev/null ||
  { tail -n 5 "$work/log" >&2; exit 1; }

# "NAME TYPE" of every tensor: as the model has it, with the plan's lines over that, and as the new file has it.
types_of() { "$tessera" inspect "$1" | awk '/^tensors:/ {on = 1; next} /^[^ ]/ {on = 0} on {print $1, $2}' | sort; }
types_of "$model" >"$work/model"
awk '/^tensors:/ {on = 1; next} on && /^  / {sub(/:$/, "", $1); print $1, $2}' "$plan" >"$work/plan"
awk 'NR == FNR {planned[$1] = $2; next} {print $1, ($1 in planned ? planned[$1] : $2)}' "$work/plan" "$work/model" \
  >"$work/expected"
types_of "$out" >"$work/found"

diff "$work/expected" "$work/found" || { echo "the types differ: < plan, > llama-quantize" >&2; exit 1; }
echo "$(wc -l <"$work/plan") tensors planned, of $(cut -d' ' -f2 "$work/plan" | sort -u | wc -l) types, $(wc -l <"$work/found") in the file: all types are as planned"
