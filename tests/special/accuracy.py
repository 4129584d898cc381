"""Largest errors of recorded functions and of their first derivatives, beside PyTorch's and JAX's.

`docs/generate_accuracy.py` writes what `measure` finds. References have 50 digits, and
are taken only where 70 digits agree; derivatives are central differences in as many digits, those of
inverses follow from the function that is inverted.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np

import fwddiff as fd
from fwddiff._record import RECORDS, Record
from special import beta_oracle, oracle, peers

Point = tuple[float, ...]
POINTS, SECONDS, PATIENCE = 60, 12.0, 2.0  # of a function: points at most, for all references, for one
SMALLEST, LARGEST = 1e-290, 1e300  # magnitudes of what is compared


@dataclass(frozen=True, eq=False)
class Subject:
    """What of a record is measured; the rows of the rules table that `scipy.special` names have no record."""

    name: str
    arguments: tuple[str, ...]
    domain: dict[str, tuple[float, ...]]
    oracle: str = ""
    whole: tuple[int, ...] = ()

    @property
    def moving(self) -> tuple[int, ...]:
        return tuple(k for k in range(len(self.arguments)) if k not in self.whole)


# Rows of the rules table.
ROWS = [
    Subject("erf", ("x",), {"x": (-26.0, 26.0)}, "erf(x)"),
    Subject("erfc", ("x",), {"x": (-6.0, 26.0)}, "erfc(x)"),
    Subject("gammaln", ("x",), {"x": (1e-2, 1e5)}, "loggamma(x)"),
    Subject("gamma", ("x",), {"x": (1e-2, 170.0)}, "gamma(x)"),
    Subject("digamma", ("x",), {"x": (1e-2, 1e5)}, "psi(0, x)"),
    Subject("polygamma", ("n", "x"), {"n": (1, 6), "x": (1e-2, 1e5)}, "psi(n, x)", (0,)),
    Subject(
        "spherical_jn",
        ("n", "x"),
        {"n": (0, 6), "x": (0.1, 50.0)},
        "sqrt(pi/(2*x))*besselj(n + 0.5, x)",
        (0,),
    ),
]  # fmt: skip
# Oracles that are not one function of mpmath's.
ORACLES: dict[str, Callable] = {
    "betainc": beta_oracle.lower,
    "betaincc": lambda a, b, x: beta_oracle.lower(b, a, 1 - x),
    "log_betainc": lambda a, b, x: mpmath.log(beta_oracle.lower(a, b, x)),
    "log_betaincc": lambda a, b, x: mpmath.log(beta_oracle.lower(b, a, 1 - x)),
    "fdtr": lambda m, n, x: beta_oracle.lower(m / 2, n / 2, m * x / (m * x + n)),
    "fdtrc": lambda m, n, x: beta_oracle.lower(n / 2, m / 2, n / (m * x + n)),
    "fdtr_slope": lambda m, n, x: beta_oracle.density(m / 2, n / 2, m * x / (m * x + n))
    * (m * n / (m * x + n) ** 2),
    "stdtr": lambda df, t: _student(df, t),
    "log_stdtr": lambda df, t: mpmath.log(_student(df, t)),
    "ierfcx": lambda n, x: _repeated_integral(n, x),
    "gammasgn": lambda x: mpmath.sign(mpmath.gamma(x)),
    "multigammaln": lambda a, d: d * (d - 1) * mpmath.log(mpmath.pi) / 4
    + sum(mpmath.loggamma(a - mpmath.mpf(j) / 2) for j in range(d)),
    "huber": lambda delta, r: r * r / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2),
    "log_ndtr": lambda x: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
    "erfc": mpmath.erfc,
}  # fmt: skip
# Inverses: the function that is inverted, and which of its arguments is the result.
INVERSES = {
    "betaincinv": ("betainc", 2),
    "betainccinv": ("betaincc", 2),
    "btdtria": ("betainc", 0),
    "btdtrib": ("betainc", 1),
    "fdtri": ("fdtr", 2),
    "gammaincinv": ("gammainc", 1),
    "gammainccinv": ("gammaincc", 1),
    "stdtrit": ("stdtr", 1),
    "ndtri": ("ndtr", 0),
    "ndtri_exp": ("log_ndtr", 0),
    "erfcinv": ("erfc", 0),
    "bdtri": ("bdtr", 2),
    "nbdtri": ("nbdtr", 2),
}
DOMAINS = {
    "bdtri": {"k": (0, 20), "n": (21, 50), "p": (1e-10, 1.0)},
    "nbdtri": {"k": (0, 20), "n": (1, 20), "p": (1e-10, 1.0)},
}
WHOLE = {
    "bdtri": (0, 1),
    "nbdtri": (0, 1),
    "bdtr": (0, 1),
    "bdtrc": (0, 1),
    "nbdtr": (0, 1),
    "nbdtrc": (0, 1),
}


def _student(df, t):
    part = beta_oracle.lower_of_student(df, t)
    return part if t < 0 else 1 - part


def _repeated_integral(n, x):
    """2/√π ∫ tⁿ exp(-t² - 2xt) dt / n!, from 0 on."""
    ends = [0, -x, -x + 12, mpmath.inf] if x < 0 else [0, 1 / (1 + x), 12 / (1 + x), mpmath.inf]
    total = mpmath.quad(lambda t: t**n * mpmath.exp(-t * t - 2 * x * t), ends)
    return 2 / mpmath.sqrt(mpmath.pi) * total / mpmath.factorial(n)


def subjects() -> list[Subject]:
    """All that is measured; records of helpers, whose slopes are 0, have neither domain nor oracle."""
    return [*ROWS, *(subject for record in RECORDS.values() if (subject := of(record)) is not None)]


def of(record: Record) -> Subject | None:
    domain = dict(record.domain) or DOMAINS.get(record.name, {})
    domain = {name: bounds for name, bounds in domain.items() if name in record.arguments}
    if not domain or not (record.oracle or record.name in ORACLES or record.name in INVERSES):
        return None
    zero = tuple(k for k, slope in enumerate(record.slopes) if slope == "0")
    whole = WHOLE.get(record.name, record.whole or (zero if len(record.arguments) > 1 else ()))
    return Subject(record.name, record.arguments, domain, record.oracle, whole)


@dataclass
class Errors:
    """Relative errors at all points; `nan` where there is no number or one that is not finite."""

    value: list[float] = field(default_factory=list)
    ulp: list[float] = field(default_factory=list)
    slopes: dict[str, list[float]] = field(default_factory=dict)

    def largest(self) -> dict[str, Any]:
        """As JSON: `None` for what is not finite somewhere, a missing key for what does not exist."""
        slopes = {name: _largest(errors) for name, errors in self.slopes.items() if errors}
        return {"value": _largest(self.value), "ulp": _largest(self.ulp), "slopes": slopes}


def _largest(errors: Sequence[float]) -> float | None:
    worst = float(np.max(errors)) if errors else 0.0
    return worst if math.isfinite(worst) else None


def measure(subject: Subject) -> dict[str, Any]:
    """The largest errors of ours and of each peer that has the function, and at how many points."""
    points = list(_drawn(subject, POINTS))
    columns = [np.array(column) for column in zip(*points, strict=True)]
    ours = _ours(subject, columns)
    kept, exact = [], []
    started = time.monotonic()
    for k, point in enumerate(points):
        if time.monotonic() - started > SECONDS:
            break
        reference = _reference(subject, point, float(ours["value"][k]))
        if reference is not None:
            kept.append(k)
            exact.append(reference)
    found = {"points": len(kept), "fwddiff": _errors(subject, ours, kept, exact).largest()}
    for name, peer in peers.of(subject.name).items():
        theirs = peer(columns, subject.moving)
        if theirs is not None:
            found[name] = _errors(subject, theirs, kept, exact).largest()
    return found


def _ours(subject: Subject, columns: list[np.ndarray]) -> dict[Any, np.ndarray]:
    called = oracle.caller(subject)  # type: ignore[arg-type]  # a name and arguments are all it looks at
    value, pullback = fd.rrule(fd.fwddiff(called).broadcast, *columns)
    thunks = pullback(np.ones(len(columns[0])))
    slopes = {k: np.asarray(fd.unthunk(thunks[k])) for k in subject.moving}
    return {"value": np.asarray(value), **slopes}


def _errors(subject: Subject, found: dict, kept: list[int], exact: list) -> Errors:
    errors = Errors(slopes={subject.arguments[k]: [] for k in subject.moving if k in found})
    for k, (value, slopes) in zip(kept, exact, strict=True):
        if value != 0 and not SMALLEST < abs(value) < LARGEST:
            continue
        if value != 0:
            error = _relative(found["value"][k], value)
            errors.value.append(error)
            errors.ulp.append(error * float(abs(value)) / math.ulp(float(value)))
        for j, slope in zip(subject.moving, slopes, strict=True):
            if j in found and SMALLEST < abs(slope) < LARGEST:
                errors.slopes[subject.arguments[j]].append(_relative(found[j][k], slope))
    return errors


def _relative(found: float, exact) -> float:
    with mpmath.workdps(30):
        return float(abs(mpmath.mpf(float(found)) - exact) / abs(exact)) if math.isfinite(found) else math.nan


# References


class _TooLong(Exception):
    pass


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    def give_up(*_):
        raise _TooLong

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _reference(subject: Subject, point: Point, near: float) -> tuple[Any, list] | None:
    """Value and slopes; `None` where mpmath takes too long, has no real number, or disagrees with itself."""
    both = []
    for digits in (50, 70):
        try:
            with _within(PATIENCE), mpmath.workdps(digits):
                both.append(_exact(subject, point, near))
        except (_TooLong, ArithmeticError, ValueError, TypeError, mpmath.libmp.NoConvergence):
            return None
    (value, slopes), (again, slopes_again) = both
    agree = all(
        abs(p - q) <= 1e-18 * abs(p) + 1e-310
        for p, q in zip([value, *slopes], [again, *slopes_again], strict=True)
    )
    return (value, slopes) if agree else None


def _exact(subject: Subject, point: Point, near: float) -> tuple[Any, list]:
    given = [int(x) if k in subject.whole else mpmath.mpf(float(x)) for k, x in enumerate(point)]
    if subject.name not in INVERSES:
        function = _function(subject)
        return mpmath.mpf(function(*given)), [_slope(function, given, k) for k in subject.moving]
    forward, unknown = INVERSES[subject.name]
    record = RECORDS.get(forward)
    function = ORACLES.get(forward) or oracle.function_of(record)  # type: ignore[arg-type]
    target, moved = given[unknown], list(given)
    moved[unknown] = mpmath.findroot(
        lambda y: function(*moved[:unknown], y, *moved[unknown + 1 :]) - target,
        (mpmath.mpf(near), mpmath.mpf(near) * (1 - mpmath.mpf(10) ** -8)),
        tol=mpmath.mpf(10) ** -60 * max(abs(target), mpmath.mpf(10) ** -300),
        verify=False,
    )
    steep = _slope(function, moved, unknown)
    slopes = [1 / steep if k == unknown else -_slope(function, moved, k) / steep for k in subject.moving]
    return moved[unknown], slopes


def _function(subject: Subject) -> Callable:
    return ORACLES.get(subject.name) or oracle.function_of(subject)  # type: ignore[arg-type]


def _slope(function: Callable, point: list, k: int):
    """Central differences of the fourth order. The step is smaller with more digits, so that agreement of two
    numbers of digits tells about the step too."""
    step = abs(point[k]) * mpmath.mpf(10) ** int(-0.3 * mpmath.mp.dps)
    if step == 0:
        raise ArithmeticError
    at = [function(*point[:k], point[k] + j * step, *point[k + 1 :]) for j in (-2, -1, 1, 2)]
    return mpmath.mpf((at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step))


# Points


def _drawn(subject: Subject, count: int) -> Iterator[Point]:
    rng = np.random.default_rng(12)
    for k in range(count):
        point = [_coordinate(rng, subject, j, k) for j in range(len(subject.arguments))]
        yield _near_the_bulk(rng, subject.name, point) if k % 2 else tuple(point)


def _coordinate(rng: np.random.Generator, subject: Subject, j: int, k: int) -> float:
    """Uniform, or by magnitude where the domain spans many; both where it includes 0."""
    bounds = subject.domain[subject.arguments[j]]
    low, high = bounds[0], bounds[-1]
    if j in subject.whole:
        return int(rng.choice(bounds)) if len(bounds) > 2 else int(rng.integers(int(low), int(high) + 1))
    if low >= 0 and high > 100 * low:
        uniform = high <= 1.0 and k % 4 == 0
        floor = max(low, 1e-6 * high if low == 0.0 else low)
        return rng.uniform(floor, high) if uniform else math.exp(rng.uniform(math.log(floor), math.log(high)))
    if low < 0 < high and max(-low, high) > 100:
        bound = -low if rng.random() < 0.5 else high
        return math.copysign(math.exp(rng.uniform(-7.0, math.log(bound))), -1.0 if bound == -low else 1.0)
    return rng.uniform(low, high)


def _near_the_bulk(rng: np.random.Generator, name: str, point: list[float]) -> Point:
    """Within a dozen of standard deviations of the mean, where the last argument is a variate's value."""
    if "betainc" in name and "inv" not in name:
        a, b = point[:2]
        mean, deviation = a / (a + b), math.sqrt(a * b / (a + b + 1)) / (a + b)
        x = mean + deviation * rng.uniform(-12, 12)
        point[2] = x if 0 < x < 1 else rng.uniform(0.001, 0.999)
    elif ("gammainc" in name and "inv" not in name) or name == "gamma_density":
        x = point[0] + math.sqrt(point[0]) * rng.uniform(-12, 12)
        point[1] = x if x > 0 else point[0] * rng.uniform(0.001, 1)
    return tuple(point)
