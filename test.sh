#!/usr/bin/env bash
# Runs the whole test suite. usage: ./test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")"
. .ci/venv.sh requirements-dev.txt
exec "$python" -m pytest "$@"
