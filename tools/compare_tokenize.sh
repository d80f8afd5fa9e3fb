#!/usr/bin/env bash
# Compares the tokens of tessera with those of llama-tokenize and prints a table; exits with 1 when any differ.
#
#   compare_tokenize.sh TESSERA PEERS_RUN VOCABULARIES TEXTS [MODEL...]
#
# TESSERA is the program; PEERS_RUN runs a command where llama-tokenize and gguf-new-metadata are installed. Compared are
# all of VOCABULARIES/*.gguf and every MODEL (GGUF) on TEXTS/*.txt and on testdata/tokenize/nasty.txt, and a copy of
# VOCABULARIES/gpt-2.gguf under the name of each pre-tokenizer on the latter and on the smallest text. Files must be
# visible to PEERS_RUN under the same paths.
set -euo pipefail
tessera=$(realpath "$1") peers=$(realpath "$2") vocabularies=$(realpath "$3") texts=$(realpath "$4")
shift 4
nasty=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../testdata/tokenize/nasty.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

# compare LABEL MODEL TEXT FLAG...
compare() {
  local label=$1 model=$2 text=$3 verdict=equal
  shift 3
  "$peers" llama-tokenize -m "$model" -f "$text" --ids "$@" >"$scratch/theirs" 2>"$scratch/log" </dev/null ||
    { tail -n 3 "$scratch/log" >&2; verdict='llama-tokenize failed'; }
  "$tessera" tokenize "$model" -f "$text" --ids "$@" >"$scratch/ours"
  if [[ $verdict == equal ]]; then cmp -s "$scratch/theirs" "$scratch/ours" || verdict=DIFFERENT; fi
  [[ $verdict == equal ]] || status=1
  printf '%-20s %-24s %-20s %9d tokens  %s\n' "$label" "$(basename "$text")" "$*" \
    "$(tr -cd , <"$scratch/ours" | wc -c | awk '{ print $1 + 1 }')" "$verdict"
}

for model in "$vocabularies"/*.gguf "$@"; do
  for text in "$texts"/*.txt; do compare "$(basename "$model" .gguf)" "$model" "$text"; done
  for flag in --no-escape --no-parse-special --no-bos; do
    compare "$(basename "$model" .gguf)" "$model" "$nasty" --no-escape $([[ $flag == --no-escape ]] || echo "$flag")
  done
done

# The names, from the message that refuses one that is unknown.
rename() { "$peers" gguf-new-metadata --force --pre-tokenizer "$1" "$vocabularies/gpt-2.gguf" "$scratch/$1.gguf" \
  >"$scratch/log" 2>&1 </dev/null || { tail -n 3 "$scratch/log" >&2; exit 1; }; }
rename nonesuch
kinds=$("$tessera" tokenize "$scratch/nonesuch.gguf" -p x 2>&1 | sed 's/.*known are //; s/,//g') || true
smallest=$(ls -S "$texts"/*.txt | tail -n 1)
for kind in $kinds; do
  rename "$kind"
  compare "$kind" "$scratch/$kind.gguf" "$nasty" --no-escape
  compare "$kind" "$scratch/$kind.gguf" "$smallest"
  rm "$scratch/$kind.gguf"
done
exit $status
