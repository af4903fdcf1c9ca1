"""The bytes between float and instrument. Imports no other room, knows nothing of images."""
