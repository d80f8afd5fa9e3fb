#!/usr/bin/env bash
# Runs every fuzz target of a build for a while; stops at the first finding, which libFuzzer leaves as a file.
#
#   tools/fuzz.sh BUILD_DIR SECONDS_PER_TARGET
#
# Inputs that reach new code are kept in BUILD_DIR/corpus/TARGET and are the start of the next run, beside the seeds of
# fuzz/seeds/TARGET.
set -euo pipefail
build=$(realpath "$1")
seconds=$2
seeds=$(realpath "$(dirname "$0")/../fuzz")/seeds

mapfile -t targets < <(find "$build/fuzz" -maxdepth 1 -type f -name '*_fuzz' -perm -u+x | sort)
[[ ${#targets[@]} -gt 0 ]] || { echo "fuzz: no targets in $build/fuzz" >&2; exit 1; }

for target in "${targets[@]}"; do
  name=$(basename "$target")
  corpus=$build/corpus/$name
  mkdir -p "$corpus"
  folders=("$corpus")
  [[ -d $seeds/$name ]] && folders+=("$seeds/$name")
  echo "fuzz: $name for $seconds seconds"
  log=$build/$name.log
  if ! "$target" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
    -artifact_prefix="$build/finding-$name-" "${folders[@]}" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "fuzz: $name found something; the input is $build/finding-$name-*" >&2
    exit 1
  fi
  grep 'stat::number_of_executed_units' "$log"
done
echo "fuzz: no findings"
