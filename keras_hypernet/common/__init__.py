"""What all rooms use: files, locks, parsing, the terminal, versions."""
