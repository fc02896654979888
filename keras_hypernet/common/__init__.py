"""Files, locks, JSON, figures, the terminal, backends, extras and versions, for all packages."""
