"""The place of Enzyme, which differentiates LLVM's code of compiled functions.

For Numba there is nothing to install: PyPI has no distribution `numba-enzyme` (`enzyme-ad` is for JAX and
C++). When there is, this file is where a `rule(problem)` of scalar functions goes, with its derivatives of
first order; `WHY_NOT` goes then.
"""

WHY_NOT = (
    "there is no Enzyme for Numba to install (PyPI has no numba-enzyme). Use 'numba', which differentiates "
    "compiled code to any order."
)

__all__ = ["WHY_NOT"]
