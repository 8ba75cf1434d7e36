"""ROS messages <-> what the model takes and gives."""
