"""Numba's tracebacks turned into one sentence: what happened, in which line of the user's, what to do."""

from __future__ import annotations

import builtins
import contextlib
import inspect
import linecache
import re
from collections.abc import Iterator
from types import FunctionType

from fwddiff import rules
from fwddiff._errors import CompileError, FwdDiffError, StructureError
from fwddiff._mistakes import mistake
from fwddiff._problem import Problem
from fwddiff.engines.numba.ssa import Refused

_LOCATION = re.compile(r'File "([^"]+)", line (\d+)')
_LEGACY_PLACE = re.compile(r"Raised from (.+) \((\d+)\)")
_ADVICE = "Rewrite that line, or use engine='numpy', which runs the function as Python, slowly."
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# What a typing error says → what it means for the user; `{0}` is the first group.
_MEANINGS: list[tuple[str, str]] = [
    (
        r"Cannot modify readonly array",
        "an argument is written to in place. Arguments are read-only; work on a copy (`x.copy()`), or take a "
        "buffer from a `fd.DiffCache`",
    ),
    (
        r"Can't unify return type from the following types: (.+)",
        "branches return results of different structure: {0}",
    ),
    (
        r"Cannot unify (.+) and (.+) for '(.+)'",
        "the variable `{2}` has different types on different paths: {0} and {1}",
    ),
    (
        r"Cannot capture the non-constant value associated with variable '([^']+)'",
        "a function defined inside uses `{0}` and is handed to what is not compiled with it",
    ),
    (r"The use of yield in a closure", "it has a generator that is defined inside"),
    (r"runaway recursion", "the function calls itself, and no branch that ends this was found"),
    (r"exception_match", "it uses `except` of one kind of exception; only `except Exception` is compiled"),
    (r"print\(\) function implementation does not", "it uses `print` with keywords"),
    (r"Type of variable 'arg\.", "it has `**keywords` among its parameters. Pass a dict, or name them"),
    (r"failed to unpack (.+)", "{0} cannot be unpacked"),
    (r"construct is not supported", "it uses the `with` statement"),
    (r"opcode \(IMPORT_\w+\)", "it uses an `import` inside of the function. Import at the top of the file"),
    (r"opcode \(DICT_MERGE\)", "it uses a call with `**` of a dict. Name the arguments"),
    (
        r"Unrecognized options: \{'locals'\}",
        "it fills a dict item by item. Make it in one piece (`{{'a': x, 'b': y}}`), or use variables",
    ),
    (r"opcode \(MATCH_\w+\)", "it uses `match` on a sequence, a mapping or a class. Ask by `if`"),
    (r"opcode \(UNPACK_EX\)", "it unpacks into a starred name (`a, *b = t`). Take `t[0]` and `t[1:]`"),
    (r"unsupported opcode \(\w+\)", "it uses a statement that kernels do not have"),
    (
        r"matmul\([^\n]*(?:unicode|Literal\[str)|getiter[^\n]*float",
        "it uses a format specification in an f-string",
    ),
    (r"Unknown attribute '([^']+)' of type (.+)", "`.{0}` is no attribute of {1}"),
    (
        r"No implementation of function (.+?) found for signature",
        "{0} has no compiled form for {call}",
    ),
    (r"Use of unsupported (.+)", "unsupported {0}"),
    (r"Unsupported (.+)", "unsupported {0}"),
]


@contextlib.contextmanager
def explained(function: FunctionType, problem: Problem) -> Iterator[None]:
    """Errors of the compiler leave as ours, with the original as their cause."""
    try:
        yield
    except FwdDiffError:
        raise
    except Exception as error:  # Numba's errors, and whatever else its many parts and LLVM raise
        own = _own_error(error)
        if isinstance(own, Refused):
            own = CompileError(f"{_where(function, None)}: {_refused(str(own))}. {_ADVICE}")
        raise own or mistake(problem, _plain(error)) or _translated(error, function, problem) from error


def _plain(error: BaseException) -> str:
    return _COLOUR.sub("", str(error)) or f"Numba fails ({type(error).__name__})"


def _own_error(error: BaseException | None) -> FwdDiffError | Refused | None:
    """One of our errors raised while Numba was typing, which wraps what it catches."""
    while error is not None:
        if isinstance(error, FwdDiffError | Refused):
            return error
        error = error.__cause__ or error.__context__
    return None


def _translated(error: Exception, function: FunctionType, problem: Problem) -> FwdDiffError:
    text = _plain(error)
    known = _of_scipy(text) or _named(text, problem) or _framework(text)
    meaning, advice = known or (_meaning(text), _ADVICE)
    kind = StructureError if "different structure" in meaning else CompileError
    return kind(f"{_where(function, text)}: {_readable(meaning)}. {advice}".strip())


def _refused(reason: str) -> str:
    """A reason in words; of an instruction of LLVM's, its name."""
    if "`_ZN" in reason:  # the compiler's name of a function that could not be put in its place
        return "it calls a function that calls itself, and hands arrays to it or gets them from it"
    found = re.match(r"(?:%\S+ = |(?=(?:store|call|br|switch) ))(\w+) ", reason)
    return f"its code has `{found.group(1)}`, of which no derivative is known" if found else reason


def _meaning(text: str) -> str:
    for pattern, sentence in _MEANINGS:
        if match := re.search(pattern, text):
            return sentence.format(*match.groups(), call=_call(text))
    return _first_line(text)


def _call(text: str) -> str:
    """Types of the arguments of a call that has no compiled form."""
    found = re.search(r">>> .+?(\(.*\))\s*$", text, re.MULTILINE)
    return "these arguments" if found is None else found.group(1)


def _named(text: str, problem: Problem) -> tuple[str, str] | None:
    """What is wrong with a name, and what to do: Numba calls names not defined that it has no type for."""
    found = re.search(r"(?:NameError: name|Untyped global name) '([^']+)'", text)
    if found is None:
        return None
    name = found.group(1)
    values = [node.lookup((name, ())) for node in problem.plan.nodes()]
    value = next((v for v in values if v is not None), getattr(builtins, name, None))
    if value is None:
        return f"the name `{name}` is not defined", ""
    if hasattr(value, "__fwddiff_function__"):
        return (
            f"`{name}.broadcast` and `{name}.sum` run over arrays and are not compiled inside of functions",
            f"Call `{name}` itself, or use engine='numpy'.",
        )
    if isinstance(value, type) and value.__module__ != "builtins":
        return f"`{name}` is a class, and kernels make dataclasses and NamedTuples alone", _ADVICE
    if callable(value) and rules.name_of(value).startswith("scipy.special."):
        return _missing(rules.name_of(value).rpartition(".")[2])
    if type(value).__module__.startswith("scipy.stats"):
        return (
            f"`{name}` is a distribution of scipy.stats that is made with its parameters",
            "Name its function with parameters (`scipy.stats.norm.logpdf(x, mean, deviation)`), which has a "
            "derivative in each.",
        )
    kind = "function" if callable(value) else type(value).__name__
    return f"`{name}` is a {kind} that cannot be compiled", _ADVICE


def _of_scipy(text: str) -> tuple[str, str] | None:
    """A function that `scipy.special` has and we have not."""
    found = re.search(r"Unknown attribute '(\w+)' of type Module\(<module 'scipy\.special'", text)
    return found and _missing(found.group(1))


def _missing(name: str) -> tuple[str, str]:
    similar = rules.close_to(name)
    known = f": there are {', '.join(similar)} and others" if similar else ""
    return f"`scipy.special.{name}` has no compiled form{known}", _ADVICE


def _framework(text: str) -> tuple[str, str] | None:
    """A function of another framework: no engine runs it on numbers of its own."""
    found = re.search(r"Unknown attribute '(\w+)' of type Module\(<module '([\w.]+)'", text)
    if found is None or found.group(2).partition(".")[0] in ("math", "numpy", "scipy", "builtins"):
        return None
    return (
        f"`{found.group(2)}.{found.group(1)}` cannot be compiled: a function of numbers is written with "
        "`math` and NumPy",
        "The arguments may be arrays of the framework all the same.",
    )


def _first_line(text: str) -> str:
    """What the innermost step says."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    inner = next((k for k in reversed(range(len(lines))) if lines[k].startswith("Failed in ")), -1)
    return (lines[inner + 1 :] or ["the compiler failed"])[0]


def _readable(text: str) -> str:
    """Names of our types and of Numba's function objects in words."""
    text = re.sub(
        r"(?:Function|NumberClass|class)\(<(?:built-in function|ufunc|function|class|intrinsic) '?([\w.]+)'?"
        r"[^>]*>\)",
        r"`\1`",
        text,
    )
    text = re.sub(r"(?:readonly )?array\((\w+), (\d)d, \w\)", r"array of \1 (\2 axes)", text)
    text = re.sub(r"Literal\[(\w+)\]\([^)]*\)|unicode_type", lambda m: m.group(1) or "str", text)
    return text.replace("(1 axes)", "(1 axis)").rstrip(". ")


def _where(function: FunctionType, text: str | None) -> str:
    """`f cannot be compiled, in line 3 of model.py: \\`x = open(p)\\``: the innermost location in the user's
    own files."""
    name = getattr(function, "__name__", str(function))
    places = (*_LOCATION.findall(text or ""), *_LEGACY_PLACE.findall(text or ""))
    spots = [(file, int(line)) for file, line in places]
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
