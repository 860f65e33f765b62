#!/usr/bin/env bash
# Set up what is missing, then the one check command, then all tests.
# Arguments go to pytest. EVO_REQUIRE=all turns a missing engine or browser from a named skip
# into a failure.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh test
scripts/check.sh
exec .venv/bin/pytest "$@"
