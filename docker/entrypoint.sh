#!/usr/bin/env bash
# Sets up ROS, the virtual environment and, once it is built, the workspace; then runs the command.
set -e
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /ws/venv/bin/activate
[ ! -e /ws/install/setup.bash ] || source /ws/install/setup.bash
exec "$@"
