"""Python as kernels have it, taught to Numba: what a function captures, structs and tuples, functions
defined inside, builtins, NumPy on small arrays."""
