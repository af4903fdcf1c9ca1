"""From a dive's profile to messages of a few hundred bytes, and back. Pure, in integers."""
