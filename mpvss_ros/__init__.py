"""The ROS 2 side of mpvss_ros: nodes, bags and the ``mpvss`` command."""
