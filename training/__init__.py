"""From sorted images to a model bundle. May import `edge`; never runs on the board."""
