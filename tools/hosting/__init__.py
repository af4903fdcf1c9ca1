"""A dive through the real service and the real protocol, with a simulated float at the other end."""
