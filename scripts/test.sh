#!/usr/bin/env bash
# Set up what is missing, then the one check command, then all tests.
# Arguments go to pytest. EVO_REQUIRE=all turns a missing engine or browser from a named skip
# into a failure.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh test
# Where the distribution has no Chromium, set-up may have brought Playwright's.
if [[ -z ${EVO_CHROMIUM:-} ]] && ! command -v chromium google-chrome >/dev/null; then
  chromium=$(.venv/bin/python -c 'from playwright.sync_api import sync_playwright as playwright
with playwright() as found: print(found.chromium.executable_path)')
  if [[ -x $chromium ]]; then export EVO_CHROMIUM=$chromium; fi
fi
checked=0
scripts/check.sh || checked=$? # the tests' result is worth having all the same
.venv/bin/pytest "$@"
exit "$checked"
