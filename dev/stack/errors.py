"""The one error that the developer stores raise on purpose."""


class StackError(Exception):
    """Something that the user can read and act upon, with the log that explains it."""

    def __init__(self, message, hint=None, log=None):
        super().__init__(message)
        self.hint = hint
        self.log = log
