"""What kernels return."""

EXCEPTION, SHAPE_MISMATCH, NO_MEMORY = 1, 2, 3
UNDEFINED = 4  # done, but a derivative is nan: what knows more of zeros should do it again
