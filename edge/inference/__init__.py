"""The model bundle and the classifier that runs it."""
