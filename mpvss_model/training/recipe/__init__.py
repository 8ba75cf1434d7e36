"""The settings of a training run, as a YAML file says them."""
