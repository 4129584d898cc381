"""Kernels of functions that loop: elements go through the function several at a time."""

from __future__ import annotations

from fwddiff._native.memory import pointer_to, stack
from fwddiff._rule import Slot
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.lanes import Lanes
from fwddiff.engines.numba.loops import Writer
from fwddiff.engines.numba.schedule import NO_CHECKS, Checks

_WORD = 8  # bytes that the buffer has for each element, whatever its type


def kernel_function(
    lanes: Lanes,
    inputs: tuple[Slot, ...],
    outputs: tuple[Slot, ...],
    pattern: str,
    checks: Checks = NO_CHECKS,
):
    """As `loops.kernel_function`, of a core that works on several elements side by side."""
    writer = _GroupWriter(lanes, inputs, outputs, pattern, checks)
    return compile_function("kernel", writer.text(), writer.namespace)


class _GroupWriter(Writer):
    def __init__(self, lanes: Lanes, inputs, outputs, pattern: str, checks: Checks):
        super().__init__(inputs, outputs, pattern, checks)
        self.lanes = lanes
        self.namespace |= {"stack": stack, "lanes": lanes.call}
        for k, kind in enumerate((*lanes.inputs, *lanes.outputs)):
            self.namespace[f"elements{k}"] = pointer_to(kind)

    def before(self) -> list[str]:
        """Room for one group of every operand."""
        operands = range(len(self.slots))
        lines = [*super().before(), f"buffer = stack({len(self.slots) * self.lanes.count})"]
        return lines + [f"g{k} = elements{k}({self._room(k)})" for k in operands]

    def _room(self, k: int) -> str:
        return f"buffer + {_WORD * self.lanes.count * k}"

    def inner(self) -> list[str]:
        """Whole groups, and a last one that is filled up with its last element."""
        count = self.lanes.count
        fixed = [f"g{k}[0] = read{k}({self.cell(k)})" for k in range(self.n_in) if self.letter(k) == "0"]
        lines = [f"if first + {count} <= n:", *self._whole_group(), "else:", *self._last_group()]
        lines = [f"    {line}" for line in lines]
        if not self.sums:
            return [*fixed, f"for first in range(0, n, {count}):", *lines, *self._look_back()]
        blocks = self.blocked([f"for first in range(begin, end, {count}):", *lines])
        return [*fixed, *blocks, *self._look_back()]

    @property
    def _in_place(self) -> list[int]:
        """Outputs that groups write to where they belong."""
        return [j for j in sorted(self.checked) if self.letter(self.n_in + j) == "c"]

    def _look_back(self) -> list[str]:
        """Look at these outputs once all are there."""
        lines = [f"o{j} = elements{self.n_in + j}(a{self.n_in + j})" for j in self._in_place]
        checks = [f"    {line}" for line in self.check(*[f"o{j}[i]" for j in self._in_place])]
        return [*lines, "for i in range(n):", *checks] if checks else []

    def _whole_group(self) -> list[str]:
        """Contiguous operands are used where they are."""
        places = {
            k: f"a{k} + first * {slot.dtype.itemsize}"
            for k, slot in enumerate(self.slots)
            if self.letter(k) == "c"
        }
        return self._group(places, "first + lane", str(self.lanes.count))

    def _last_group(self) -> list[str]:
        return self._group({}, "min(first + lane, n - 1)", "n - first")

    def _group(self, places: dict[int, str], element: str, filled: str) -> list[str]:
        operands, outputs = range(len(self.slots)), range(len(self.outputs))
        gathered = [k for k in range(self.n_in) if self.letter(k) != "0" and k not in places]
        lines = [f"for lane in range({self.lanes.count}):", f"    i = {element}"] if gathered else []
        lines += [f"    g{k}[lane] = read{k}({self.cell(k)})" for k in gathered]
        addresses = ", ".join(places.get(k, self._room(k)) for k in operands)
        lines += [f"status = lanes(({addresses},))", "if status != 0:", "    return status"]
        stores = [line for j in outputs if self.n_in + j not in places for line in self.store(j)]
        if stores:
            results = "".join(f"g{self.n_in + j}[lane], " for j in outputs)
            lines += [f"for lane in range({filled}):", "    i = first + lane", f"    r = ({results})"]
            lines += [f"    {line}" for line in [*self.checks(but=self._in_place), *stores]]
        return [f"    {line}" for line in lines]
