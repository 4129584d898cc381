"""Functions that loop or branch much, applied to several elements side by side.

LLVM vectorises the loop over elements as long as the function has no loop of its own, and few branches. A
function that iterates would run element by element, with scalar sines and exponentials. Here its compiled,
optimised code is read back, and written again for as many elements as a vector register holds: `_code` reads
it, `_flow` finds what the elements do together and what each for itself, `_writer` (by `_masks`,
`_instructions`) writes it.

What cannot be done so (arrays, calls without a vector version, integer divisions that may trap) is refused,
and the function runs element by element as before.
"""

from __future__ import annotations

from fwddiff.engines.numba.lanes._code import Refused, read
from fwddiff.engines.numba.lanes._writer import written

OLDEST_LLVM = 20
# LLVM's loop vectoriser takes five times as long for each further branch on values that elements share: with
# 21 blocks (7 such branches) it was stopped after a minute.
MANY_BLOCKS = 10

__all__ = ["MANY_BLOCKS", "OLDEST_LLVM", "Refused", "read", "written"]
