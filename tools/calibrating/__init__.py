"""From pictures of targets, beads and water to the optics of a unit, each with its standard error."""
