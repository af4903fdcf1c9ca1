"""Sorting help: embeddings, clusters, growing, names; after MorphoCluster (Schröder et al. 2020)."""
