"""Files, locks, JSON, the terminal, backends, extras and versions, for all rooms."""
