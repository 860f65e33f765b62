#!/usr/bin/env bash
# Build the sdist, the wheel from the sdist, and use that wheel the way a stranger does:
# installed in a clean virtual environment, run from outside the checkout.
# Needs scripts/setup.sh test.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 EVO_HOME=$work/home
unset PYTHONPATH

say() { printf 'package: %s\n' "$*"; }

say "sdist, then the wheel from it"
cd "$root"
.venv/bin/hatchling build -t sdist -d "$work/dist"
cd "$work" # from here on nothing of the checkout is importable
"$root/.venv/bin/python" -m pip wheel --quiet --no-deps -w "$work/dist" "$work"/dist/*.tar.gz
wheel=$(compgen -G "$work/dist/*.whl")

say "evo-agent[agent] alone makes a tool call"
"$root/.venv/bin/python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet "${wheel}[agent]"
"$work/venv/bin/python" "$root/scripts/wheel_smoke.py"

say "evo-agent[fix] runs outside the checkout"
"$work/venv/bin/python" -m pip install --quiet "${wheel}[fix]"
"$work/venv/bin/python" -m pip check
"$work/venv/bin/evo" --version
"$work/venv/bin/evo" --help
"$work/venv/bin/evo" demo
say "all well"
