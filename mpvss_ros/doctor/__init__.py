"""Says from outside why a running graph gives no labels: one look at it, and small diagnoses of what was seen."""
