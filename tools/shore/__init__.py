"""Commands that read messages and dives on shore."""
