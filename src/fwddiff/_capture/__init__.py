"""What a function refers to that is no argument of it: closure cells, globals, `self`, what hangs on them.

`plan(f)` follows every chain `name.attribute.attribute` in the code of `f` and of the plain functions it
calls, and sorts what it finds:

* *data* (a number, an array, a struct of them): a `Capture`, read anew at each call and treated as an
  argument;
* a plain function, method or callable object: a `Function` of its own, whose captures become those of its
  caller;
* anything else (modules, classes, builtins) is left to the engine, after a search for arrays of a host in it.

What cannot be followed and might hold an array of a host is refused with a CaptureError.

A plan stays valid while every chain still leads to what it was made for, and holds for any function of the
same code of which that is true. One generated function says so, and reads the captured values on the way
(`_guard`).

    _instructions, _stack, _bytecode   how code uses names
    _meaning                           what wrapping a function added to it
    _names, _values                    from names to values; what is data, what hides arrays
    _tables                            which arrays are used as a whole
    _state                             what gives something else at each call, what a call would change
    _identity                          where code asks which object it has
    _refusals, _fingerprint            errors; text of all that compiled code depends on
    _guard, _content                   whether a plan still holds; values told apart by what they hold
    _function, _layout, _plan          the outcome; the order of captured values; sorts it all
    _ours                              whether the code calls fwddiff itself
"""

from fwddiff import _native  # noqa: F401 - notes when the package was imported
from fwddiff._capture._bytecode import catches, has_handler, nested_codes, uses
from fwddiff._capture._content import content
from fwddiff._capture._fingerprint import Description
from fwddiff._capture._function import Capture, Function, attributes
from fwddiff._capture._identity import asked_of_parameters, asked_which, decides
from fwddiff._capture._instructions import has_loop, instructions
from fwddiff._capture._meaning import NOTHING, STANDS_FOR, Foreign, Meaning, UserRule, meaning_of
from fwddiff._capture._names import unbound
from fwddiff._capture._ours import refers_to_us
from fwddiff._capture._plan import guard_parts, has_code, is_struct_class, plan
from fwddiff._capture._stack import Path, Use, parameters
from fwddiff._capture._state import refuse_state, refuse_stateful
from fwddiff._capture._values import (
    has_rule,
    held_rule,
    holds_host_array,
    is_data,
    is_foreign,
    is_operation,
    is_struct,
    looks_after,
)

__all__ = [
    "NOTHING",
    "STANDS_FOR",
    "Capture",
    "Description",
    "Foreign",
    "Function",
    "Meaning",
    "Path",
    "Use",
    "UserRule",
    "asked_of_parameters",
    "asked_which",
    "attributes",
    "catches",
    "content",
    "decides",
    "guard_parts",
    "has_code",
    "has_handler",
    "has_loop",
    "has_rule",
    "held_rule",
    "holds_host_array",
    "instructions",
    "is_data",
    "is_foreign",
    "is_operation",
    "is_struct",
    "is_struct_class",
    "looks_after",
    "meaning_of",
    "nested_codes",
    "parameters",
    "plan",
    "refers_to_us",
    "refuse_state",
    "refuse_stateful",
    "unbound",
    "uses",
]
