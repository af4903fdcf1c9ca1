"""Files that others read: one module a format, each from decoded dives and nothing else."""
