"""What survives a power cut and a kill, found by doing it: below SQLite, below the file system, and to the process."""
