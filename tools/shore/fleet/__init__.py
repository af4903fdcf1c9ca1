"""The registry of a fleet: what its messages of any year are read with, in one file, by hash."""
