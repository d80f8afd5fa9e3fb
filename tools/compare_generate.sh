#!/usr/bin/env bash
# Compares greedy texts with those of transformers, token for token, in float32.
#
#   compare_generate.sh TESSERA PEERS_RUN MODEL...
#
# TESSERA is the program; PEERS_RUN runs a command where torch and transformers are installed; each MODEL is a Hugging
# Face folder. Continues the prompts of data/prompts/coherence.txt by 64 tokens. Exits with 1 when any text differs.
set -euo pipefail
tessera=$(realpath "$1") peers=$(realpath "$2")
shift 2
tools=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
for model in "$@"; do
  model=$(realpath "$model")
  while read -r prompt; do
    "$tessera" generate "$model" -p "$prompt" -n 64 --greedy --precision f32 --json --quiet
  done < <(grep -v -e '^#' -e '^$' "$tools/../data/prompts/coherence.txt") >"$work/texts.json"
  "$peers" python3 "$tools/reference_generate.py" "$model" <"$work/texts.json" || status=1
done
exit $status
