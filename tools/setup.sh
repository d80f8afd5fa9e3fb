#!/usr/bin/env bash
# Makes sure that the Debian packages of tools/debian-packages.txt are installed.
#
#   tools/setup.sh PURPOSE...     # purposes as in that file, e.g. build, or build lint
#
# Says nothing and calls nothing when all are there. Otherwise installs what is missing when run as root, or prints
# the exact command and stops with status 1. On other systems than Debian and its children it only says what to have.
set -euo pipefail

list=$(dirname "$0")/debian-packages.txt

if ! command -v dpkg-query >/dev/null; then
  echo "setup: not a Debian system; make sure that the equivalents of the packages in $list are installed" >&2
  exit 0
fi

wanted=()
for purpose in "$@"; do
  while read -r package command; do
    [[ -n $command ]] && command -v "$command" >/dev/null && continue
    wanted+=("$package")
  done < <(awk -v p="$purpose" '!/^#/ && $2 == p { print $1, $3 }' "$list")
done
[[ ${#wanted[@]} -eq 0 ]] && exit 0

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
  awk '$1 == "installed" { print $2 }' || true)
missing=()
for package in "${wanted[@]}"; do
  grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if [[ $(id -u) -ne 0 ]]; then
  printf 'setup: packages are missing. Run this, then try again:\n\n    sudo apt-get update && sudo %s\n\n' "${install[*]}" >&2
  exit 1
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
"${install[@]}" -qq >/dev/null
