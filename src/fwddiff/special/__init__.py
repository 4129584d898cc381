"""Special functions of numbers, in plain Python, each with its record (`fwddiff._record`).

In a function that fwddiff differentiates, the names of `scipy.special` mean these. On floats they can be
called as they are. A family of functions is a file, listed here once.
"""

from typing import TYPE_CHECKING, Any

from fwddiff import rules
from fwddiff._record import COMPOSED, OF_ARRAYS, RECORDS
from fwddiff.special import (  # noqa: F401 - each records its functions
    _bessel,
    _beta,
    _beta_inverse,
    _beta_laws,
    _beta_tail,
    _binomial,
    _error,
    _gamma,
    _gammainc,
    _gammaincinv,
    _hypergeometric,
    _integrals,
    _known,
    _log_sums,
    _logistic,
    _student,
)

for _record in RECORDS.values():
    rules.include(_record)
rules.check_recorded()

# Where iterations start and how fast they go is nobody's business but theirs.
_PUBLIC = {name: r.function for name, r in RECORDS.items() if not name.endswith(("_start", "_rate"))}
globals().update(_PUBLIC)
globals().update(COMPOSED | OF_ARRAYS)
__all__ = sorted({*_PUBLIC, *COMPOSED, *OF_ARRAYS})

if TYPE_CHECKING:  # the names are those of the records

    def __getattr__(name: str) -> Any: ...
