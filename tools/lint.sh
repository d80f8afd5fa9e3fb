#!/usr/bin/env bash
# Checks formatting and runs clang-tidy over the library and the program.
#
#   tools/lint.sh BUILD_DIR     # BUILD_DIR holds compile_commands.json of a clang configuration
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
echo "lint: formatting"
find src cli tests bench fuzz \( -name '*.cc' -o -name '*.h' \) -print0 | xargs -0 -r clang-format --dry-run -Werror

# Tests are left to the compiler's warnings: half of the time would go into GoogleTest's macros.
echo "lint: clang-tidy"
cmake --build "$build" --target tessera_generated >/dev/null
run-clang-tidy -quiet -p "$build" -j "$(nproc)" "$PWD/(src|cli|bench)/.*\.cc" 2>&1 |
  { grep -v -E '^clang-tidy|^[0-9]+ warnings? generated|^$' || true; }
