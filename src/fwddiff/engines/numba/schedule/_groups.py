"""The inner loop of a function that works on several elements side by side."""

from __future__ import annotations

from dataclasses import dataclass

from fwddiff.engines.numba.schedule._ahead import Computed
from fwddiff.engines.numba.schedule._results import Results

_LINE = 64  # bytes; vectors on the stack start where a cache line does


@dataclass(frozen=True)
class LanesInfo:
    """`i64 @symbol(ptr in0, …, ptr out0, …)` reads and writes `count` elements of every operand that varies
    from element to element, one of the others; its status is that of a kernel. `inputs`
    (with what is computed ahead) and `outputs` are LLVM's types of one element."""

    count: int
    symbol: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Groups:
    """Whole groups, and a last one that is filled up with its last element."""

    def __init__(self, results: Results, lanes: LanesInfo, ahead: Computed):
        self.results, self.operands, self.out = results, results.operands, results.operands.out
        kinds, count = self.operands.kinds, self.operands.n_in
        if [*lanes.inputs, *lanes.outputs] != [*kinds[:count], *ahead.ahead.kinds, *kinds[count:]]:
            raise ValueError(f"lanes of {lanes.inputs} -> {lanes.outputs} for operands {kinds}")
        self.lanes, self._ahead = lanes, ahead
        tail = f", align {_LINE}"
        self._rooms = [
            self.out.room(f"[{lanes.count} x {kind}]", f"group{k}", tail)
            for k, kind in enumerate(self.operands.kinds)
        ]
        self._kept = [self.out.room(kind, "kept") for kind in ahead.ahead.kinds]
        # Outputs that whole groups write to where they belong: looked at once all are there.
        self._in_place = [k for k in results.checked if self.operands.pattern[k] == "c"]

    def row(self, n: str) -> None:
        """All elements of a row."""
        operands, count = self.operands, self.lanes.count
        for k in operands.inputs:
            if operands.letter(k) == "0":
                self._fill(k, "0", "0")
        for room, value in zip(self._kept, self._ahead.row(), strict=True):
            self.out.line(f"store {value}, ptr {room}")

        def write(begin: str, end: str) -> None:
            with self.out.loop(end, start=begin, step=count, name="first") as first:
                stop = self.out.value(f"add nuw nsw i64 {first}, {count}")
                is_whole = self.out.value(f"icmp sle i64 {stop}, {n}")
                self.out.choose(is_whole, lambda: self._whole(first), lambda: self._last(first, n))

        self.results.in_blocks(n, write)
        self._look_back(n)

    def _look_back(self, n: str) -> None:
        if self._in_place:
            with self.out.loop(n, name="look") as i:
                self.results.check({k: self._read(k, i) for k in self._in_place})

    def _whole(self, first: str) -> None:
        """Contiguous operands are used where they are."""
        operands = self.operands
        places = {k: operands.cell(k, first) for k, letter in enumerate(operands.pattern) if letter == "c"}
        self._group(places, first, None, str(self.lanes.count))

    def _last(self, first: str, n: str) -> None:
        last = self.out.value(f"sub nsw i64 {n}, 1")
        self._group({}, first, last, self.out.value(f"sub nsw i64 {n}, {first}"))

    def _group(self, places: dict[int, str], first: str, last: str | None, filled: str) -> None:
        """One call, of operands at `places`, the others in the rooms; no element after `last` is read."""
        out, operands = self.out, self.operands
        gathered = [k for k in operands.inputs if operands.letter(k) != "0" and k not in places]
        if gathered:
            with out.loop(str(self.lanes.count), name="lane") as lane:
                i = out.value(f"add nuw nsw i64 {first}, {lane}")
                if last is not None:
                    i = out.value(f"call i64 @llvm.smin.i64(i64 {i}, i64 {last})")
                for k in gathered:
                    self._fill(k, lane, i)
        self._call([places.get(k, room) for k, room in enumerate(self._rooms)])
        left = [k for k in operands.outputs if k not in places]
        if left:
            with out.loop(filled, name="lane") as lane:
                values = {k: self._load(k, lane) for k in left}
                self.results.check(values, but=self._in_place)
                self.results.store(values, out.value(f"add nuw nsw i64 {first}, {lane}"))

    def _call(self, places: list[str]) -> None:
        count = self.operands.n_in
        given = ", ".join(f"ptr {place}" for place in (*places[:count], *self._kept, *places[count:]))
        status = self.out.value(f"call i64 @{self.lanes.symbol}({given})", "status")
        self.out.leave_unless(self.out.value(f"icmp eq i64 {status}, 0"), status)

    def _read(self, k: int, i: str) -> str:
        return self.operands.read(k, self.operands.cell(k, i))

    def _fill(self, k: int, lane: str, i: str) -> None:
        """Copy element i to its lane."""
        value = self.operands.argument(k, self._read(k, i))
        self.out.line(f"store {self.operands.kinds[k]} {value}, ptr {self._lane(k, lane)}")

    def _load(self, k: int, lane: str) -> str:
        return self.out.load(self.operands.kinds[k], self._lane(k, lane), "r")

    def _lane(self, k: int, lane: str) -> str:
        return self.out.step(self._rooms[k], lane, self.operands.kinds[k])
