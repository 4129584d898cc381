"""Numba's tracebacks turned into one sentence: what happened, in which line of the user's, what to do."""

from __future__ import annotations

import contextlib
import inspect
import linecache
import re
from collections.abc import Iterator
from types import FunctionType

from fwddiff._errors import CompileError, FwdDiffError, StructureError
from numba.core import errors

_LOCATION = re.compile(r'File "([^"]+)", line (\d+)')
_ADVICE = "Rewrite that line with what Numba supports, or use engine='numpy', which runs any Python."

# What a typing error says → what it means for the user; `{0}` is the first group.
_MEANINGS: list[tuple[str, str]] = [
    (
        r"Cannot modify readonly array",
        "an argument is written to in place. Arguments are read-only; work on a copy (`x.copy()`)",
    ),
    (
        r"Can't unify return type from the following types: (.+)",
        "branches return results of different structure: {0}",
    ),
    (
        r"Cannot unify (.+) and (.+) for '(.+)'",
        "the variable `{2}` has different types on different paths: {0} and {1}",
    ),
    (r"Untyped global name '([^']+)'", "the name `{0}` is nothing that can be compiled"),
    (r"NameError: name '([^']+)' is not defined", "the name `{0}` is not defined"),
    (r"Unknown attribute '([^']+)' of type (.+)", "`.{0}` is no attribute of {1}"),
    (
        r"setitem\(array\((?:float|int|uint|bool)\w*, .*Dual\(",
        "numbers with derivatives are stored in an array of plain numbers. Create the array "
        "like an argument: "
        "`np.zeros_like(x)`, `np.empty_like(x)`",
    ),
    (
        r"setitem\(array\(Dual\(.*Dual\(",
        "numbers are stored in an array that has no room for their derivatives. "
        "Create it like all that it will "
        "hold: `np.zeros_like(x + y)`",
    ),
    (
        r"No implementation of function (.+?) found for signature",
        "{0} has no compiled form for these arguments",
    ),
    (r"Use of unsupported (.+)", "unsupported {0}"),
    (r"Unsupported (.+)", "unsupported {0}"),
    (r"Failed in nopython mode pipeline \(step: (.+)\)\s*\n(.+)", "{1}"),
]


@contextlib.contextmanager
def explained(function: FunctionType) -> Iterator[None]:
    """Errors of the compiler leave as ours, with the original as their cause."""
    try:
        yield
    except FwdDiffError:
        raise
    except errors.NumbaError as error:
        own = _own_error(error)
        raise (own if own is not None else _translated(error, function)) from error
    except Exception as error:  # whatever else its many parts raise
        raise CompileError(
            f"{_where(function, str(error))}: {_first_line(str(error) or type(error).__name__)}. {_ADVICE}"
        ) from error


def _own_error(error: BaseException | None) -> FwdDiffError | None:
    """One of our errors raised while Numba was typing, which wraps what it catches."""
    while error is not None:
        if isinstance(error, FwdDiffError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _translated(error: errors.NumbaError, function: FunctionType) -> FwdDiffError:
    text = str(error)
    meaning, kind = _first_line(text), CompileError
    for pattern, sentence in _MEANINGS:
        if match := re.search(pattern, text):
            meaning = sentence.format(*match.groups())
            kind = StructureError if "different structure" in meaning else CompileError
            break
    return kind(f"{_where(function, text)}: {_readable(meaning)}. {_ADVICE}")


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next(
        (line for line in lines if not line.startswith("Failed in")), lines[0] if lines else "unknown error"
    )


def _readable(text: str) -> str:
    """Names of our types and of Numba's function objects in words."""
    text = re.sub(r"Dual\(float(\d\d)[^)]*(\([^)]*\)[^)]*)*\)", r"float\1", text)
    text = re.sub(r"Function\(<(?:built-in function|ufunc|function) '?([\w.]+)'?[^>]*>\)", r"`\1`", text)
    return text.rstrip(". ")


def _where(function: FunctionType, text: str | None) -> str:
    """`f cannot be compiled, in line 3 of model.py: \\`x = open(p)\\``: the innermost location in the user's
    own files."""
    name = getattr(function, "__name__", str(function))
    spots = [(file, int(line)) for file, line in _LOCATION.findall(text or "")]
    own = [
        spot for spot in spots if spot[1] > 0 and "<fwddiff" not in spot[0] and "site-packages" not in spot[0]
    ]
    found = _resolved(own, function) or _definition(function)
    if found is None:
        return f"`{name}` cannot be compiled"
    file, line = found
    code = linecache.getline(file, line).strip()
    return f"`{name}` cannot be compiled, line {line} of {file}" + (f" (`{code}`)" if code else "")


def _resolved(spots: list[tuple[str, int]], function: FunctionType) -> tuple[str, int] | None:
    """The last location reported, with the full path if it is in the function's own file (Numba shortens
    paths)."""
    if not spots:
        return None
    file, line = spots[-1]
    own_file = function.__code__.co_filename
    return (own_file, line) if own_file.endswith(file.lstrip("./")) else (file, line)


def _definition(function) -> tuple[str, int] | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else (code.co_filename, code.co_firstlineno)
