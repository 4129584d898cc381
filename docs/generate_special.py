"""Writes docs/special.md from the records: `python docs/generate_special.py`. A test keeps it up to
date."""

from __future__ import annotations

from pathlib import Path

from fwddiff import special  # noqa: F401 - records its functions
from fwddiff._record import COMPOSED, RECORDS, Record

PAGE = Path(__file__).with_name("special.md")
_START = """# Special functions

<!-- Written by docs/generate_special.py; edit the records in src/fwddiff/special instead. -->

In a plain function that fwddiff differentiates, names of `scipy.special` have derivatives in every
argument that has one: shapes,
degrees of freedom and orders too.

```python
import scipy.special
from scipy.special import expit
import fwddiff as fd
from fwddiff import fwddiff, special

@fwddiff
def cdf(a, b, x):
    return scipy.special.betainc(a, b, expit(x))

fd.gradient(lambda a, b: cdf(a, b, 0.3), 2.0, 3.0, argnum=(0, 1))
fd.hessian(lambda v: special.log_gammaincc(v, 40.0), 2.5)  # SciPy has no logarithm of this tail
```

* **By SciPy's names**, however they were imported; `jax.scipy.special` and `torch.special` mean the
  same where they have the name.
  A name that is not here raises an error that lists what is close.
* `logsumexp`, `softmax` and `log_softmax` take tuples, lists and arrays, axes (known when the function
  is compiled) and weights; an entry of -inf does not count and has slope 0.
* **By ours**, `fwddiff.special.X`, which are more. On floats they can be called as they are.
* In both engines, to any order, in `float32` (computed in double) and `float64`. Real arguments and
  results: `loggamma` is nan below 0, `lambertw`
  and `airy` have their real branches.

[Accuracy](accuracy.md) has the errors of values and derivatives. [Beta functions](special-beta.md) has
methods of that family, [Distributions](stats.md) what is made
of them.

**Slopes.** "closed form": by a formula, which is differentiated for second order. "by code": there is
none, or none
that keeps its digits, and the series, continued fraction, quadrature or Newton step of the function is
run on dual numbers. Loops end when the
derivatives have settled, too (`fd.magnitude`). "whole": an integer, without a derivative. Where several
arguments are active and one of them has no
closed form, all slopes are by code.

**Values** of functions marked "SciPy's" are those of SciPy's compiled code, called by its exported
pointers; others are ours.

| function | names in `scipy.special` | slopes | value | choices |
| --- | --- | --- | --- | --- |
"""
_COMPOSED = """
Made of these, or of rows of the [rules](rules.md): {names}.

## Limits

* Parameters and orders are tested in the domains of [Accuracy](accuracy.md). Beyond them values are
  SciPy's or limits; a derivative that is not known is
  nan, not a number that looks like one (the choices say where).
* Derivatives at poles are infinite or nan; at kinks they are the ones in the table.
* Where an inverse has no slope (`p = 0`, `p = 1`), its derivative is the limit, which may be infinite.
"""


def page() -> str:
    """The text of docs/special.md."""
    shown = [record for record in RECORDS.values() if record.domain]
    names = ", ".join(f"`{name}`" for name in sorted(COMPOSED))
    return _START + "".join(map(_line, shown)) + _COMPOSED.format(names=names)


def _line(record: Record) -> str:
    names = ", ".join(f"`{name}`" for name in record.scipy)
    slopes = [_kind(record, k) for k in range(len(record.arguments))]
    if len(set(slopes)) > 1:
        slopes = [f"{argument}: {kind}" for argument, kind in zip(record.arguments, slopes, strict=True)]
    listing = ", ".join(dict.fromkeys(slopes))
    value = "SciPy's" if record.scipy_value else "ours"
    choices = record.choices.replace("|", "\\|")
    return f"| `{record.name}({', '.join(record.arguments)})` | {names} | {listing} | {value} | {choices} |\n"


def _kind(record: Record, k: int) -> str:
    if record.slopes[k] is None:
        return "by code"
    return "whole" if k in record.whole or record.slopes[k] == "0" else "closed form"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
