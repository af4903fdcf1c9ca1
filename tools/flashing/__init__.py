"""How a board gets the instrument: the installer, the system, the card."""
