"""First gradients of all special functions: `python -m benchmarks.workloads.first_gradients [NAME …]`.

One line for each: processor seconds of a first value and gradient, of second order on top, and of
`numba.njit` for the same plain Python, each in a process of its own, with the budget that these make: twice
Numba's and 0.25 s; three times and 0.3 s. `first_use WHO "special NAME"` is one of them.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

from benchmarks.workloads.compiled_functions import SPECIAL
from fwddiff import _magnitude, special  # noqa: F401 - which has the records
from fwddiff._record import RECORDS, Record


def get(name: str) -> tuple[Callable[..., Any], tuple[float, ...]]:
    """A function that calls this special function, as a user's would, and a point inside its domain. Integer
    arguments are constants of the function."""
    record = RECORDS[name]
    return _caller(record, record.function), tuple(_inside(record, a) for a in _smooth(record))


def _smooth(record: Record) -> list[str]:
    return [name for k, name in enumerate(record.arguments) if k not in record.whole]


def _caller(record: Record, function: Callable[..., Any]) -> Callable[..., Any]:
    smooth = _smooth(record)
    listing = [name if name in smooth else str(int(_inside(record, name))) for name in record.arguments]
    namespace = {"given": function}
    exec(f"def caller({', '.join(smooth)}):\n    return given({', '.join(listing)})", namespace)
    return namespace["caller"]


def _inside(record: Record, argument: str) -> float:
    low, high = (*record.domain.get(argument, (0.2, 0.9)), 1.0)[:2]
    if low >= 0.0:
        return min(0.3 if high <= 1.0 else 2.3, high)
    return max(low, -0.3) if high <= 0.0 else min(0.3, high)


def for_numba(name: str) -> Callable[..., Any]:
    """The same plain Python for `numba.njit`, with all that it calls; its code where the value is SciPy's."""
    return _caller(RECORDS[name], _jitted(RECORDS[name].code, {}))


def _jitted(function: Any, done: dict[Any, Any]) -> Any:
    import numba

    if function is _magnitude.magnitude:
        return numba.njit(_size)
    if function not in done:
        names = function.__globals__.items()
        used = {n: v for n, v in names if n in function.__code__.co_names and _is_ours(v)}
        known = function.__globals__ | {n: _jitted(v, done) for n, v in used.items()}
        copy = types.FunctionType(function.__code__, known, function.__name__, function.__defaults__)
        done[function] = numba.njit(copy)
    return done[function]


def _is_ours(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and value.__module__.startswith("fwddiff")


def _size(x, scale=1.0):
    return abs(x) / max(1.0, abs(scale))


def _seconds(who: str, name: str) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.workloads.first_use", who, SPECIAL + name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return [math.nan, math.nan]
    return [told["seconds"] for told in json.loads(done.stdout.splitlines()[-1]).values()]


def _line(name: str) -> str:
    first, second = _seconds("fwddiff", name)
    plain = _seconds("numba", name)[0]
    is_beyond = first > 2 * plain + 0.25 or second > 3 * plain + 0.3  # nan: nothing to compare with
    verdict = "  beyond" if is_beyond else ""
    return f"{name:20} {first:6.2f} {second:6.2f} {plain:6.2f}{verdict}"


def main(names: list[str]) -> None:
    sys.stdout.write("function              first second  numba\n")
    for name in names or RECORDS:
        sys.stdout.write(_line(name) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
