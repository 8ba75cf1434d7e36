#!/usr/bin/env bash
# Runs the tests in two environments at a time: all of them in .venv (ROS 2 Kilted's wheels and recent packages), and those of
# the ROS side in .venv-jazzy, with what a robot with Ubuntu 24.04 and ROS 2 Jazzy has.
# usage: ./test.sh [pytest arguments]; both environments get them
set -euo pipefail
cd "$(dirname "$0")"
. .ci/venv.sh requirements-dev.txt
. .ci/venv-jazzy.sh
if [ -z "$jazzy_python" ]; then
    exec "$python" -m pytest "$@"
fi

jazzy_log=$(mktemp)
set -m # in a process group of its own: else the tests would ignore SIGINT
"$jazzy_python" -m pytest -o cache_dir=.venv-jazzy/.pytest_cache "${@:-test/ros}" > "$jazzy_log" 2>&1 &
jazzy_tests=$!
set +m
trap 'kill -- -$jazzy_tests 2> /dev/null || true; rm -f "$jazzy_log"' EXIT

status=0
echo "== .venv"
"$python" -m pytest "$@" || status=$?
jazzy_status=0
wait "$jazzy_tests" || jazzy_status=$?
echo "== .venv-jazzy"
cat "$jazzy_log"
exit $((status > jazzy_status ? status : jazzy_status))
