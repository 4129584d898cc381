"""What `validate=True` asks of parameters."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fwddiff import _host, _tree
from fwddiff._errors import ArgumentError


def check(distribution: Any) -> None:
    """Raises `ArgumentError` where the parameters make no distribution, in any element if they are arrays.

    Nothing is known of what a framework traces: that goes unchecked.
    """
    leaves, structure = _tree.flatten(distribution)
    known = [values for leaf in leaves if (values := _host.values(leaf, _host.owner(leaf))) is not None]
    if len(known) < len(leaves):
        return
    columns = [values.reshape(-1).tolist() for values in np.broadcast_arrays(*known)]
    for element in zip(*columns, strict=True):
        _check_one(_tree.unflatten(structure, element))


def _check_one(value: Any) -> None:
    """A distribution of numbers, and those that it is made of."""
    if isinstance(value, tuple | list):
        for part in value:
            _check_one(part)
    elif hasattr(type(value), "_valid"):
        if not value._valid():
            raise ArgumentError(_message(value))
        for field in dataclasses.fields(value):
            _check_one(getattr(value, field.name))


def _message(distribution: Any) -> str:
    fields = dataclasses.fields(distribution)
    listing = ", ".join(f"{field.name}={getattr(distribution, field.name)!r}" for field in fields)
    name = type(distribution).__name__
    return f"{name}({listing}) is no distribution: {name} needs {distribution._needs}."
