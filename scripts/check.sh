#!/usr/bin/env bash
# The one check command: format, lint, types (two checkers), import layers.
# Every check runs, and the ones that failed are named at the end. Needs scripts/setup.sh test.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=.venv/bin
failed=()

check() {
  printf '== %s\n' "$*"
  "$bin/$1" "${@:2}" || failed+=("$1 ${2:-}")
}

check ruff format --check .
check ruff check .
check mypy
check pyright
check lint-imports

if ((${#failed[@]})); then
  printf 'check: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "check: all clean"
