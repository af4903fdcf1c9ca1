"""Benchmarks: `seston bench NAME`, side by side in one run, never a test."""
