"""Dives to EcoTaxa and back: the importer's rules, an export, a check of any archive, and the sorted back."""
