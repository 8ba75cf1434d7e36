"""Files that those who read the labels need on their side."""
