"""What the caller hears where a function is not translated."""


class Refused(Exception):
    """The function does something that is not differentiated in LLVM's code; the text says what."""
