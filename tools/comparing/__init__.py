"""Contenders on the same held-back images: who meets on what, what they answer, and how good that is."""
