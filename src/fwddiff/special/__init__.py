"""Special functions in plain Python, each with its record: see `fwddiff._record`.

In a function that fwddiff differentiates, the names of `scipy.special` mean these. On floats they can be
called as they are.
"""
