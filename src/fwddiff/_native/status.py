"""What kernels return."""

EXCEPTION, SHAPE_MISMATCH, NO_MEMORY = 1, 2, 3
UNDEFINED = 4  # done, but a derivative is nan: what knows more of zeros should do it again
INTERRUPTED, STALE = 5, 6  # by Ctrl-C, in the call and ahead of it
TOO_DEEP = 7  # a function called itself more often than Python allows

# Of a compiled function of Numba's, ours or not: 0, 1 for an exception of the user's, and for Ctrl-C this.
STOPPED = 11
