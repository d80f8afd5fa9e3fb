#!/usr/bin/env bash
# Builds and tests Tessera where llama.cpp and libggml are installed: inside a Debian unstable root that holds them.
# Shows that --encoder ggml writes the bytes of llama-quantize and that every decoder equals ggml's; needs root.
#
#   tools/test_with_ggml.sh [CTEST_REGEX]      # default: the tests that use libggml; '.' runs all
#
# The root is PEERS_ROOT, default ~/.cache/tessera-peers, with libggml-dev and llama.cpp-tools installed. The build goes
# to build/ggml in the checkout, which appears in the root under its own path.
set -euo pipefail
cd "$(dirname "$0")/.."
root=${PEERS_ROOT:-$HOME/.cache/tessera-peers}
tests=${1:-Ggml}
[[ -x $root/usr/bin/llama-quantize ]] || { echo "test_with_ggml: no llama.cpp in $root" >&2; exit 1; }

# Shows a folder of this system in the root under its own path, unless it is there already.
show() { [[ -n $(ls -A "$root$1" 2>/dev/null) ]] || { mkdir -p "$root$1" && mount --bind "$1" "$root$1"; }; }
for folder in /proc /sys /dev /tmp "$(dirname "$PWD")"; do show "$folder"; done
# Tests read the reference data beside the checkout.
[[ ! -e ../shared ]] || show "$(dirname "$(realpath ../shared)")"

inside() { chroot "$root" /usr/bin/env -C "$PWD" "$@"; }

inside tools/setup.sh build
inside cmake -S . -B build/ggml -G Ninja -DTESSERA_NATIVE_SIMD=ON
inside cmake --build build/ggml
inside ctest --test-dir build/ggml -j2 --output-on-failure -R "$tests"
