#!/usr/bin/env bash
# Set up what is missing, then watch evo learn a small repository and fix a bug in it.
# Needs no key, and no network beyond the package registries. Arguments go to `evo demo`.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/scripts/setup.sh" demo
exec "$root/.venv/bin/evo" demo "$@"
