"""UVP6 projects, and the files that EcoPart takes from floats: read, checked, converted, written, replayed.

Formats after the vendor's serial specification (2023-11-23) and what reads these files: ecotaxa/ecopart
(`uvp_sample_import.py`, `uvp6remote_sample_import.py`), picheral/uvp6_matlab_project, ecotaxa/UVP_toolboxpy.
Where they and a real file disagree, the file wins.
"""
