"""Commands that look at a running robot, one in each file."""
