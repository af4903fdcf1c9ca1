"""From pixels to regions and their measures. Pure: arrays in, arrays out."""
