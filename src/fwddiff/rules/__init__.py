"""The derivatives of scalar functions: one table of text, read by every engine in its own namespace.

* `RULES`: signature → partial derivatives, as text (see `_rows`).
* `TABLE`: name → `Row`, the same with the callables that mean the row and the text of its value.
* `scalar_namespace()`: the names in `Row.value`, as functions that Numba compiles.
* `include`: the row of a recorded function (`fwddiff._record`), which families of functions add.
* `add_rule`: one more row at run time.

Source of the formulas: NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, chapters 4, 5,
7 and 10.
"""

from collections.abc import Callable
from types import CodeType
from typing import NamedTuple

from fwddiff._errors import ArgumentError
from fwddiff._probe import probe
from fwddiff._record import Record
from fwddiff.rules._callables import OWN, VALUES, functions_of, scalar_functions
from fwddiff.rules._frameworks import elementwise, is_frameworks, tensor_methods
from fwddiff.rules._language import check_partial, check_value, parse_signature
from fwddiff.rules._rows import CHOICES, RULES, SELECTIONS
from fwddiff.rules._scipy import close_to, distribution_function, is_of_arrays, meant_by, name_of

__all__ = [
    "CHOICES",
    "INTEGER_ARGUMENTS",
    "RULES",
    "SELECTIONS",
    "TABLE",
    "Row",
    "add_rule",
    "added_rows",
    "built_in",
    "check_recorded",
    "close_to",
    "distribution_function",
    "elementwise",
    "include",
    "is_current",
    "is_frameworks",
    "is_of_arrays",
    "meant_by",
    "name_of",
    "of_families",
    "recorded",
    "ruled_codes",
    "scalar_namespace",
    "share_code",
    "tensor_methods",
]


class Row(NamedTuple):
    """One scalar function, with one text in `partials` per name in `arguments`.

    `functions` are the callables of Python and NumPy that mean this row. `value` is scalar code in the names
    of `scalar_namespace()`; it gives float64 for float32 arguments where it calls fwddiff's own functions.
    `body` is the function of ours that has the value, where it is no expression; a partial `None` is that of
    the body. `record` is what the row was made of, if a family of functions has it.
    """

    name: str
    arguments: tuple[str, ...]
    partials: tuple[str | None, ...]
    functions: tuple[Callable, ...]
    value: str
    body: Callable | None = None
    record: Record | None = None


# Rows whose first argument is an integer order or exponent: no derivative with respect to it exists.
INTEGER_ARGUMENTS: dict[str, tuple[int, ...]] = {"polygamma": (0,), "spherical_jn": (0,), "ldexp": (1,)}

_added: dict[str, Callable] = {}
_recorded: dict[str, Callable] = {}
_of_recorded: dict[object, Row] = {}
# By the identity of the function's code, which compiled and wrapped forms of it share.
_rows_of_functions: dict[int, tuple[Callable, Row]] = {}
# Code of functions with rows → their names; not of code that functions without a row have too.
ruled_codes: dict[CodeType, str] = {}
_shared_codes: set[CodeType] = set()
# Another object whenever a rule was added: what was decided before may not hold any more.
given = object()


def added_row(function: object) -> Row | None:
    """The row that `add_rule` gave this function, if it did."""
    found = _rows_of_functions.get(id(function))
    return None if found is None else found[1]


def share_code(function: object) -> None:
    """A function without a row may be of the same code as one that has one."""
    code = getattr(function, "__code__", None)
    if code in ruled_codes:
        _shared_codes.add(code)
        del ruled_codes[code]


def underlying(function: Callable) -> Callable:
    """The Python function of a compiled or wrapped one."""
    inner = made_from(function)
    return function if inner is None else underlying(inner)


def made_from(value: object) -> Callable | None:
    """What a compiled or wrapped function was made from, `None` of all else."""
    inner = probe(value, "py_func") or probe(value, "__fwddiff_function__")
    return inner if callable(inner) else None


def scalar_namespace() -> dict[str, Callable]:
    """The functions that `Row.value` refers to, by name; a new dict on every call."""
    return scalar_functions() | _recorded | _added


def built_in() -> list[Row]:
    """The rows of `RULES`."""
    return [row for row in TABLE.values() if row.name in _names]


def of_families() -> list[Row]:
    """The rows of recorded functions."""
    return list(_of_recorded.values())


def is_added(name: str) -> bool:
    """Whether the row was added at run time."""
    return name in _added


def added_rows() -> list[Row]:
    """The rows that were added at run time."""
    return [TABLE[key] for key in _added if key in TABLE]


def is_current(row: Row) -> bool:
    """Whether the row has not been replaced."""
    return TABLE.get(row.name) is row or TABLE.get(_key(row.name)) is row


def _key(name: str) -> str:
    """Where the row of a user's function stands: it may have the name of a recorded one of ours, which other
    rows name."""
    return f"{name} of the user" if name in _recorded else name


def _row(signature: str, partials: str | tuple[str, ...]) -> Row:
    name, arguments = parse_signature(signature)
    texts = (partials,) if isinstance(partials, str) else tuple(partials)
    value = VALUES.get(name, f"{name}({', '.join(arguments)})")
    return Row(name, arguments, texts, functions_of(name), value, OWN.get(name))


def include(record: Record) -> Row:
    """Add the row of a recorded function; its texts may name functions that are recorded later."""
    listing = ", ".join(record.arguments)
    row = Row(
        record.name,
        record.arguments,
        record.slopes,
        (record.function,),
        f"{record.name}({listing})",
        record.code,
        record,
    )
    TABLE[row.name], _recorded[row.name] = row, record.function
    _of_recorded[record.function] = row
    if record.whole:
        INTEGER_ARGUMENTS[row.name] = record.whole
    if record.choices:
        CHOICES[row.name] = record.choices
    return row


def check_recorded() -> None:
    """Raise ArgumentError where the text of a recorded function is not of the language."""
    arities = {row.name: len(row.arguments) for row in TABLE.values()}
    for row in _of_recorded.values():
        _check_row(row, f"{row.name}({', '.join(row.arguments)})", arities)


def recorded(function: object) -> Row | None:
    """The row of one of our own recorded functions."""
    try:
        return _of_recorded.get(function)
    except TypeError:  # of no hash
        return None


def _check_row(row: Row, signature: str, arities: dict[str, int]) -> None:
    if len(row.partials) != len(row.arguments):
        raise ArgumentError(
            f"{signature} has {len(row.arguments)} arguments but {len(row.partials)} partials: "
            "give one per argument."
        )
    for partial in filter(None, row.partials):
        check_partial(partial, signature, row.arguments, arities)


def _build() -> dict[str, Row]:
    rows = {signature: _row(signature, partials) for signature, partials in RULES.items()}
    arities = {row.name: len(row.arguments) for row in rows.values()}
    for signature, row in rows.items():
        _check_row(row, signature, arities)
    return {row.name: row for row in rows.values()}


TABLE: dict[str, Row] = _build()
_names = frozenset(TABLE)


def add_rule(
    function: Callable, text_of_signature: str, partials: str | tuple[str, ...], value: str | None = None
) -> Row:
    """Add a row for `function` to `TABLE` and return it.

    `text_of_signature` is `"name(a, b)"`. `partials` is one expression per argument, in the arguments, `y`
    (the value), `pi`, integers and functions of the table, the new one included. `value` is scalar code in
    the arguments and the names of `scalar_namespace()`; by default the function itself is called, which an
    engine then has to be able to compile. A row added before for the same function is replaced. Two functions
    of one name may have rows; other rows then mean the last of them by the name.

    Raises ArgumentError where an expression is not of the language, the number of partials is wrong, or the
    name or the function belongs to another row.
    """
    if not callable(function):
        raise ArgumentError(f"The first argument, {function!r}, is not callable: pass a function.")
    name, arguments = parse_signature(text_of_signature)
    _check_owner(function, name)
    texts = (partials,) if isinstance(partials, str) else tuple(partials)
    row = Row(name, arguments, texts, (function,), value or f"{name}({', '.join(arguments)})")
    arities = {known.name: len(known.arguments) for known in TABLE.values()} | {name: len(arguments)}
    _check_row(row, text_of_signature, arities)
    check_value(row.value, text_of_signature, {*scalar_namespace(), *arguments, name})
    global given
    TABLE[_key(name)] = row
    _added[_key(name)] = function
    inner = underlying(function)
    _rows_of_functions[id(inner)] = inner, row
    code = getattr(inner, "__code__", None)
    if code is not None and code not in _shared_codes:
        ruled_codes[code] = name
    given = object()
    return row


def _check_owner(function: Callable, name: str) -> None:
    known = TABLE.get(name)
    taken = name in scalar_functions() if known is None else known.record is None and name not in _added
    if taken or name == "where":
        raise ArgumentError(f"The name {name!r} belongs to another row of the table: choose another name.")
    for row in built_in():
        if function in row.functions:
            raise ArgumentError(f"{function!r} already is row {row.name!r}: it cannot have a second one.")
