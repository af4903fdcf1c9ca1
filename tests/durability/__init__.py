"""What survives: power cut below SQLite and below the file system, and the process killed."""
