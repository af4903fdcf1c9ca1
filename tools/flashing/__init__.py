"""What `seston flash` makes: the installer for boards, and what stands on the board to install it."""
