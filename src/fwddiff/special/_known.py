"""Names of SciPy's for functions that the rules table has from Python and NumPy."""

import math

from fwddiff._record import means
from fwddiff._special import digamma as _digamma


@means("gammaln")
def gammaln(x):
    """log |Γ(x)|; inf at the poles."""
    if x <= 0.0 and (x == math.floor(x) if x > -4503599627370496.0 else True):
        return math.inf
    return math.lgamma(x)


@means("digamma psi")
def digamma(x):
    """ψ(x) = d log|Γ(x)| / dx."""
    return _digamma(x)
