"""The part of the installer that runs on the board: the standard library alone, under the board's own Python.

It travels inside the installer's file and is run from there; nothing of seston is imported.
"""
