"""What `seston bench bridge` measures."""
