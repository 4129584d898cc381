"""Structs that programs take, build and return."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass(frozen=True)
class Box:
    width: Any
    height: Any
