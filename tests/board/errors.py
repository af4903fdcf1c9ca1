"""Why there is no emulated board."""


class CannotEmulateError(Exception):
    """This machine lacks something, or a registry did not answer: a reason to skip."""
