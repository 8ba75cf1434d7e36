"""What the node knows of its health, and how it says so."""
