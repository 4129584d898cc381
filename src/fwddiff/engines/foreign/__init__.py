"""Functions written for a framework, differentiated by that framework's own modes: an engine each in `jax`,
`torch` and `autograd`, made of what is here.

    framework   what a framework has to say: arrays, derivatives, shapes without values
    results     from what a function returns to flat leaves
    loop        evaluation along loop axes, in the framework's arrays
    rule        the rules: value, pullback, pushforward, partials, jacobian, of any order
"""

from __future__ import annotations

from fwddiff.engines.foreign.framework import Framework
from fwddiff.engines.foreign.rule import ForeignRule

__all__ = ["ForeignRule", "Framework"]
