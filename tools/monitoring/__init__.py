"""The page of `seston monitor`: reads a dive's log and what the service shows, and serves them."""
