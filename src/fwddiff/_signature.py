"""Core axes of arguments, written as in NumPy's generalised ufuncs: `"(n),(m,n)->(m)"`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fwddiff._errors import ArgumentError

_GROUP = re.compile(r"\(([^()]*)\)")


def core_ndims(signature: str, owners: Sequence[int], target: Any) -> list[int]:
    """Number of core axes of each argument leaf; `owners` says which argument it belongs to.

    All leaves of a struct have the core axes of their argument.
    """
    inputs = signature.partition("->")[0].replace(" ", "")
    groups = _GROUP.findall(inputs)
    if ",".join(f"({group})" for group in groups) != inputs:
        raise ArgumentError(
            f"signature={signature!r}: write one group of axes per argument, such as '(n),()->()'."
        )
    wanted = max(owners, default=-1) + 1
    if len(groups) != wanted:
        raise ArgumentError(
            f"signature={signature!r} has {len(groups)} inputs, but {target.name} has {wanted} arguments."
        )
    return [len([axis for axis in groups[owner].split(",") if axis]) for owner in owners]
