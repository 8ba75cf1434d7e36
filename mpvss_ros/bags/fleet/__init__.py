"""Many recordings at once, and long ones in pieces."""
