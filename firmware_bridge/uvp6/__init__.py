"""The UVP6's own words, so that a float that hosts one can host the instrument, and the other way round."""
