"""Errors of fwddiff: each says what happened, to which argument or source line, and what to do."""


class FwdDiffError(Exception):
    """Base of every error that fwddiff raises on purpose."""

    # By this, TensorFlow's AutoGraph knows that it can raise the error again with its own message added.
    __init__ = Exception.__init__


class ArgumentError(FwdDiffError, TypeError):
    """An argument that cannot be differentiated, broadcast or understood."""


class ShapeError(ArgumentError, ValueError):
    """Shapes that do not broadcast, or a cotangent whose shape is not its output's."""


class StructureError(ArgumentError):
    """A container that does not mirror the one it stands for, or that depends on a branch."""


class HostError(FwdDiffError, TypeError):
    """Arrays of two frameworks in one call, or an array that its framework cannot lend us."""


class CaptureError(FwdDiffError):
    """A value that `f` closes over and whose derivative would be lost."""


class StaleError(CaptureError):
    """What a function refers to changed between a call and its derivative."""


class CompileError(FwdDiffError):
    """The engine cannot run the user's function; the original error is the `__cause__`."""


class PythonOnlyError(CompileError):
    """What was found before anything was compiled: the function runs as Python only."""


class DerivativeError(FwdDiffError):
    """A derivative that does not exist or is not provided: raised instead of a wrong number."""


class SparsityError(FwdDiffError, ValueError):
    """A pattern that cannot be found, or that misses an entry."""
