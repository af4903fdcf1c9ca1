"""Iridium's short burst data: what its gateway speaks on shore."""
