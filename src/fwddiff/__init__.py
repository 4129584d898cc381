"""Forward-mode pullbacks for every reverse-mode framework.

A call passes these files, top to bottom, and imports point the same way:

    _wrapper      fwddiff(f), g(...), g.broadcast(...), g.sum(...)      _chainrules   rrule, frule, thunks
    _custom       rules that users write                                _foreign      functions of a framework
    _function     the user's callable: parameters, defaults, partials   _capture      what it closes over
    _tree         nested arguments ↔ leaves                             _host         whose arrays are these?
    hosts/        one framework, one file: records a rule as an operation
    _rule         the waist: a function of plain arrays, its pushforward, its pullback
    engines/      one way, one file or folder, to run f on dual numbers
    _derive       derived functions as text, dual, rules: a value and its partials, one row per derivative
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fwddiff import special as special
    from fwddiff import stats as stats
    from fwddiff import testing as testing
    from fwddiff._buffers import DiffCache as DiffCache
    from fwddiff._buffers import LazyBufferCache as LazyBufferCache
    from fwddiff._buffers import get_tmp as get_tmp
    from fwddiff._chainrules import frule as frule
    from fwddiff._chainrules import rrule as rrule
    from fwddiff._checkpoint import checkpoint as checkpoint
    from fwddiff._custom import custom_rule as custom_rule
    from fwddiff._custom import scalar_rule as scalar_rule
    from fwddiff._explain import Explanation as Explanation
    from fwddiff._explain import explain as explain
    from fwddiff._foreign import differentiate_with as differentiate_with
    from fwddiff._foreign import from_autograd as from_autograd
    from fwddiff._foreign import from_jax as from_jax
    from fwddiff._foreign import from_torch as from_torch
    from fwddiff._implicit import implicit as implicit
    from fwddiff._magnitude import magnitude as magnitude
    from fwddiff._operators import derivative as derivative
    from fwddiff._operators import gradient as gradient
    from fwddiff._operators import hessian as hessian
    from fwddiff._operators import hvp as hvp
    from fwddiff._operators import jacobian as jacobian
    from fwddiff._operators import prepare as prepare
    from fwddiff._operators import pullback as pullback
    from fwddiff._operators import pushforward as pushforward
    from fwddiff._operators import value_and_derivative as value_and_derivative
    from fwddiff._operators import value_and_gradient as value_and_gradient
    from fwddiff._operators import value_and_hessian as value_and_hessian
    from fwddiff._operators import value_and_hvp as value_and_hvp
    from fwddiff._operators import value_and_jacobian as value_and_jacobian
    from fwddiff._operators import value_and_pullback as value_and_pullback
    from fwddiff._operators import value_and_pushforward as value_and_pushforward
    from fwddiff._operators import value_gradient_and_hessian as value_gradient_and_hessian
    from fwddiff._thunk import Thunk as Thunk
    from fwddiff._thunk import unthunk as unthunk
    from fwddiff._wrapper import fwddiff as fwddiff

__version__ = "0.1.0"

# Where each public name lives: loaded when first used, so that importing fwddiff costs next to nothing.
_HOMES = {
    "fwddiff": "_wrapper",
    "rrule": "_chainrules",
    "frule": "_chainrules",
    "Thunk": "_thunk",
    "unthunk": "_thunk",
    "checkpoint": "_checkpoint",
    "custom_rule": "_custom",
    "scalar_rule": "_custom",
    "differentiate_with": "_foreign",
    "from_autograd": "_foreign",
    "from_jax": "_foreign",
    "from_torch": "_foreign",
    "Explanation": "_explain",
    "explain": "_explain",
    "implicit": "_implicit",
    "magnitude": "_magnitude",
    "special": "special",
    "stats": "stats",
    "testing": "testing",
    **dict.fromkeys(["DiffCache", "LazyBufferCache", "get_tmp"], "_buffers"),
    **dict.fromkeys(
        [
            "derivative",
            "gradient",
            "hessian",
            "hvp",
            "jacobian",
            "prepare",
            "pullback",
            "pushforward",
            "value_and_derivative",
            "value_and_gradient",
            "value_and_hessian",
            "value_and_hvp",
            "value_and_jacobian",
            "value_and_pullback",
            "value_and_pushforward",
            "value_gradient_and_hessian",
        ],
        "_operators",
    ),
    **dict.fromkeys(
        [
            "ArgumentError",
            "CaptureError",
            "CompileError",
            "DerivativeError",
            "FwdDiffError",
            "HostError",
            "ShapeError",
            "SparsityError",
            "StaleError",
            "StructureError",
        ],
        "_errors",
    ),
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fwddiff' has no attribute {name!r}")
    module = importlib.import_module(f"fwddiff.{_HOMES[name]}")
    value = module if name == _HOMES[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
