"""What the caller hears where a function is not translated."""

from fwddiff.engines.numba.ssa.code import Refused

__all__ = ["Refused"]
