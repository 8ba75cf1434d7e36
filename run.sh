#!/usr/bin/env bash
# Replays a bag through the real segmentation node over DDS, evaluates the labels and writes a report to out/.
# usage: ./run.sh [--out DIR] [--bag PATH] [--model PATH_OR_HUB_ID] [--interval N] ...; --help lists all options
set -euo pipefail
start_dir=$PWD
cd "$(dirname "$0")"
. .ci/venv.sh requirements.txt
repo=$PWD
cd "$start_dir"
exec "$repo/.venv/bin/mpvss" run "$@"
