"""The commonest mistakes, named: an array where a number is meant, a list where an array is meant, rows
without a signature.

All three are calls, not functions: nothing is wrong with the code that does not compile or raises.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator

from fwddiff._errors import ArgumentError, FwdDiffError, ShapeError
from fwddiff._problem import Problem

# What Python and NumPy say where an array is taken for a number.
_ONE_NUMBER = re.compile(
    r"truth value of an array|only (?:0-dimensional|length-1|size-1|integer scalar) arrays|"
    r"only length-1 arrays can be converted"
)
# What Python says where a list is taken for a number or an array.
_SEQUENCE = re.compile(
    r"(?:can't|cannot) multiply sequence by non-int|operand type\(s\) for .*'(?:list|tuple)'|"
    r"(?:not|must be real number, not) '?(?:list|tuple)|only concatenate (?:list|tuple)|"
    r"'(?:list|tuple)' object has no attribute|of type (?:Uni)?Tuple"
)
# What frameworks say where they are given numbers, or what stands for them.
_TENSOR = re.compile(
    r"must be Tensor|Tensor input|valid JAX type|requires ndarray or scalar arguments|"
    r"'ArrayImpl'|of type ArrayImpl"
)
# What the compiler says of functions: `>>> exp(readonly array(Dual(float64), 1d, C))`.
_CALL = re.compile(r">>> (.+?)\((.*)\)\s*$", re.MULTILINE)
# What makes sense of arrays alone.
_OF_ARRAYS = {
    "len", "getitem", "static_getitem", "iter", "getiter", "sum", "prod", "mean", "std", "var", "dot",
    "matmul", "norm", "cumsum", "argmax", "argmin", "amax", "amin", "enumerate", "zip", "outer", "diag",
    "trace",
}  # fmt: skip
# What makes sense of numbers alone.
_OF_NUMBERS = (frozenset(dir(math)) | {"max", "min", "float", "int", "round", "divmod"}) - _OF_ARRAYS


def mistake(problem: Problem, text: str) -> FwdDiffError | None:
    """The error that names the mistake which this text of a compiler error or exception tells of, if it is
    one."""
    call = _CALL.search(text)
    name, types = (call.group(1), call.group(2)) if call else ("", "")
    found = (
        _list(problem, text, types)
        or _rows(problem, text, name, types)
        or _array(problem, text, name, types)
        or _tensor(text)
        or _shapes(text)
    )
    if found is None:
        return None
    kind, sentence = found
    return kind(f"{problem.name}: {sentence}")


def is_about_arrays(error: Exception) -> bool:
    """Whether Python took an array for a number."""
    return _ONE_NUMBER.search(str(error)) is not None


def is_about_tensors(error: Exception) -> bool:
    """Whether a framework was given a number where it takes its own arrays."""
    return _TENSOR.search(str(error)) is not None


@contextlib.contextmanager
def named(problem: Problem) -> Iterator[None]:
    """Exceptions of the user's function pass, but for those that come from one of the mistakes."""
    try:
        yield
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        found = None if isinstance(error, FwdDiffError) else mistake(problem, str(error))
        if found is None:
            raise
        raise found from error


def _list(problem: Problem, text: str, types: str) -> tuple | None:
    """A list or tuple of numbers is so many numbers, and no array."""
    if "Tuple(" not in types and not _SEQUENCE.search(text):
        return None
    for name, spec in zip(argument_names(problem), problem.arguments.children(), strict=False):
        if spec.type in (list, tuple) and spec.num_leaves and all(c.is_leaf() for c in spec.children()):
            return ArgumentError, (
                f"argument '{name}' is a {spec.type.__name__}, which stands for that many separate numbers "
                f"or arrays. If it is meant as an array, pass `np.array({name})`."
            )
    return None


def _tensor(text: str) -> tuple | None:
    """A function of a framework that is no function of numbers."""
    if not _TENSOR.search(text):
        return None
    return ArgumentError, (
        "a function of a framework that it calls takes the framework's arrays, and is not one of the "
        "elementwise functions that mean a function of numbers. To have the framework differentiate the "
        f"whole function, use fd.differentiate_with. ({text.strip().splitlines()[0]})"
    )


def _rows(problem: Problem, text: str, name: str, types: str) -> tuple | None:
    """A broadcast gives the function one number at a time."""
    if problem.kind == "whole" or problem.signature is not None or not any(problem.axes):
        return None
    on_number = re.match(r"(?:Dual\(|float|int|Literal\[int)", types) is not None and name in _OF_ARRAYS
    of_number = re.search(
        r"Unknown attribute '\w+' of type (?:Dual|float|int)|failed to unpack (?:Dual|float|int)", text
    )
    subscripted = re.search(
        r"(?:float\w*|int|Dual)'? object (?:is not subscriptable|is not iterable|has no attribute)|"
        r"object of type '(?:numpy\.)?(?:float\w*|Dual)' has no len|must be an iterable, not numpy|"
        r"invalid index to scalar|cannot unpack non-iterable|"
        r"has no len\(\)",
        text,
    )
    if not (on_number or of_number or subscripted):
        return None
    groups = ",".join("(n)" if axes > 1 else "()" for axes in _axes(problem))
    groups = groups if "n" in groups else groups.replace("()", "(n)", 1)
    return ShapeError, (
        f"`{problem.kind}` calls the function with one number of each array, and it asks for the elements of "
        f"that number. If the function works on rows, say so: `.{problem.kind}(..., "
        f"signature='{groups}->()')`."
    )


def _array(problem: Problem, text: str, name: str, types: str) -> tuple | None:
    """A function of numbers that is called as it is gets the whole array."""
    arrays = [k for k, axes in enumerate(_axes(problem)) if axes]
    if problem.kind != "whole" or not arrays:
        return None
    by_options = re.search(r"\b(?:axis|key|keepdims)=", types)  # as functions of arrays have
    compiled = "array(" in types and name in _OF_NUMBERS and not by_options
    if not (compiled or _ONE_NUMBER.search(text)):
        return None
    what = f"`{name}` takes a number" if compiled else "the function asks for one number"
    listing = " and ".join(f"'{argument_names(problem)[k]}'" for k in arrays)
    return ShapeError, (
        f"{what}, and argument {listing} is an array, which a function that is called as it is gets whole. "
        "To apply it to each element, call its `.broadcast(...)` (or `.sum(...)`, which adds the results up)."
    )


def _shapes(text: str) -> tuple | None:
    if "unable to broadcast argument" not in text:
        return None
    return ShapeError, "arrays of different shapes meet in one of its operations, and do not broadcast."


def argument_names(problem: Problem) -> list[str]:
    """Names of the arguments, without a bound `self`."""
    code = problem.plan.function.__code__
    names = list(code.co_varnames[problem.plan.bound is not None : code.co_argcount + code.co_kwonlyargcount])
    rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if code.co_flags & 0x04 else "argument"
    return names + [rest] * (len(problem.arguments.children()) - len(names))


def _axes(problem: Problem) -> list[int]:
    """The most axes of the arrays in each argument."""
    if not problem.axes:  # made without a call
        return []
    found, leaf, axes = [], 0, iter(problem.axes)
    for spec in problem.arguments.children():
        own = [next(axes) for k in range(leaf, leaf + spec.num_leaves) if k not in problem.statics]
        leaf += spec.num_leaves
        found.append(max(own, default=0))
    return found
