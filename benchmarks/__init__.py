"""Programs that print figures of the node; see their ``--help``."""
