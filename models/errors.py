"""The root of the error family."""


class SeparateError(Exception):
    """Base of all errors of this package; its message is one line that says what to do."""


class CheckpointError(SeparateError):
    """A weights file or its card is missing, damaged, or of another configuration."""
