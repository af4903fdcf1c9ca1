"""The parts of `seston receive`: reading what providers push, keeping it, decoding it, the ports."""
