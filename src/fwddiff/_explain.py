"""`explain`: what a call would do, as an object that prints itself and whose fields tests can count."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from fwddiff import _derive, _tree
from fwddiff._call import Call
from fwddiff._native import tasks
from fwddiff._rule import Decision, Rule, Shape
from fwddiff._wrapper import FwdDiff, Operation, fwddiff

_VECTOR_CALL = re.compile(r"_ZGV[a-z]N\w+")
# Arithmetic of whole 256 or 512 bit registers (x86), or of vector registers (ARM).
_PACKED = re.compile(
    r"\bv(?:f[n]?m\w+|add|sub|mul|div|sqrt|max|min)p[sd]\s.*%[yz]mm|\bf(?:add|sub|mul|div|mla)\s+v\d+\."
)


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One input or output of the kernel; `differentiated`: whether it has partials in this call."""

    name: str
    dtype: np.dtype
    shape: Shape
    differentiated: bool


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a call does; `fwddiff.explain` makes it.

    `kernel` is the one that does the derivative's work, its `kind` "value" (nobody differentiates),
    "partials" (stored with the value) or "pullback" (recomputed). `bytes_kept` are held for the backward
    pass, besides the arguments and results themselves. `passes` run the function on duals that carry
    `partials` of the inputs at a time, each in `chunks`. `tasks` is into how many parts the call is divided,
    `threads` how many threads take them at most. `vectorised` and `vector_functions` tell what the machine
    code of the kernel holds. `not_compiled` says why the function runs in Python, where nobody asked for
    that. Fields are `None` where the engine cannot tell.
    """

    name: str
    host: str | None
    engine: str
    kernel: str
    kind: Literal["value", "partials", "pullback"]
    loop: Shape
    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]
    stored: bool
    reason: str
    passes: int
    partials: int
    chunks: int
    bytes_kept: int
    tasks: int | None
    threads: int | None
    vectorised: bool | None
    vector_functions: tuple[str, ...] | None
    not_compiled: str | None = None

    def rows(self) -> list[tuple[str, str]]:
        """What is printed: (word, meaning)."""
        rows = [
            ("host", self.host or "none (NumPy)"),
            ("engine", self.engine),
            *([("no kernel", self.not_compiled)] if self.not_compiled else []),
            ("kernel", f"{self.kernel} ({self.kind})"),
            ("loop", " × ".join(map(str, self.loop)) or "one element"),
            *(("input", _described(leaf)) for leaf in self.inputs),
            *(("output", _described(leaf)) for leaf in self.outputs),
            ("mode", f"{'store' if self.stored else 'recompute'}: {self.reason}"),
            ("passes", f"{self.passes}, {self.partials} partials, {_counted(self.chunks, 'chunk')} each"),
            ("bytes kept", f"{self.bytes_kept:,}"),
        ]
        if self.tasks is not None:
            rows.append(("threads", f"{self.threads} at most, {_counted(self.tasks, 'task')}"))
        if self.vectorised is not None:
            called = ", ".join(self.vector_functions or ())
            rows.append(("vectorised", ("yes" if self.vectorised else "no") + (called and f": {called}")))
        return rows

    def __str__(self) -> str:
        return "\n".join([self.name, *(f"  {word:<11}{meaning}" for word, meaning in self.rows())])

    def __rich__(self) -> Any:
        from rich import box
        from rich.table import Table

        table = Table(title=self.name, box=box.SIMPLE_HEAD, title_justify="left", show_header=False)
        for row in self.rows():
            table.add_row(*row)
        return table


def _described(leaf: Leaf) -> str:
    shape = " × ".join(map(str, leaf.shape)) or "number"
    return f"{leaf.name}: {leaf.dtype}, {shape}" + (", differentiated" if leaf.differentiated else "")


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def explain(f: Callable, *args: Any, **kwargs: Any) -> Explanation:
    """What `f(*args, **kwargs)` does when it is differentiated: compiles what it would use, runs nothing.

    Args:
        f: A wrapped function, its `broadcast` or `sum`, or a plain function (then wrapped).
        args: As for the call; arrays of any host. Of PyTorch's tensors those that require gradients are
            differentiated, of all others every float.

    Returns:
        An `Explanation`: print it, or read its fields.
    """
    operation = f if isinstance(f, Operation) else (f if isinstance(f, FwdDiff) else fwddiff(f)).whole
    call = operation.prepare(*args, **kwargs)
    return _Explainer(operation, call).explanation()


class _Explainer:
    """Collects the facts of one call."""

    def __init__(self, operation: Operation, call: Call):
        self.operation, self.call, self.rule = operation, call, call.rule
        self.shapes = [self._shape(leaf) for leaf in call.inputs]
        self.active = tuple(i for i, leaf in enumerate(call.inputs) if self._is_active(i, leaf))
        if not self.rule.differentiable_outputs:
            self.active = ()
        self.decision = Decision(False, "nothing is differentiated, so nothing is kept")
        if self.active:
            self.decision = self.rule.decide(self.active, self.shapes, getattr(call.host, "HABIT", "plain"))
        self.stored = self.decision.stores

    def _shape(self, leaf: Any) -> Shape:
        host = self.call.host
        return tuple(host.shape(leaf)) if host is not None and host.owns(leaf) else np.shape(leaf)

    def _is_active(self, i: int, leaf: Any) -> bool:
        host = self.call.host
        own = host is None or (host.owns(leaf) and getattr(leaf, "requires_grad", True))
        return self.rule.inputs[i].differentiable and own

    def explanation(self) -> Explanation:
        groups = self.rule.pullback_passes(self.active) if self.active and not self.stored else [self.active]
        kernel, shapes = self._kernel(groups[0])
        launch = self._launch(kernel, shapes)
        assembly = launch.kernel.assembly() if launch is not None and hasattr(launch, "kernel") else None
        calls = None if assembly is None else tuple(sorted(set(_VECTOR_CALL.findall(assembly))))
        count = getattr(launch, "tasks", None)
        return Explanation(
            name=self.operation.__name__,
            host=None if self.call.host is None else self.call.host.__name__.rpartition(".")[2],
            engine=self._engine(),
            kernel=kernel.name,
            kind="value" if not self.active else "partials" if self.stored else "pullback",
            loop=self.rule.loop_shape(self.shapes),
            inputs=tuple(self._inputs()),
            outputs=tuple(self._outputs()),
            stored=self.stored,
            reason=self.decision.reason,
            passes=len(groups) if self.active else 0,
            partials=max(map(self._elements, groups)),
            chunks=max(map(self._chunks, groups)) if self.active else 0,
            bytes_kept=self._bytes_kept(),
            tasks=count,
            threads=None if count is None else min(count, tasks.default_threads()),
            vectorised=None if assembly is None else bool(calls) or bool(_PACKED.search(assembly)),
            vector_functions=calls,
            not_compiled=getattr(self.rule, "not_compiled", "") or None,
        )

    def _engine(self) -> str:
        """Name of the engine that made the rule; a rule that the user wrote needs none."""
        custom = self.operation.wrapped.caller.subject.meaning.rule is not None
        return "custom rule" if custom else type(self.rule).__module__.split(".")[2]

    def _kernel(self, group: tuple[int, ...]) -> tuple[Rule, list[Shape]]:
        """The rule that does the derivative's work, and the shapes of its inputs."""
        if not self.active:
            return self.rule, self.shapes
        if self.stored:
            return self.rule.partials(self.active), self.shapes
        shapes = self.rule.output_shapes(self.shapes)
        pairs = zip(shapes, self.rule.outputs, strict=True)
        return self.rule.pullback(group), [*self.shapes, *(s for s, slot in pairs if slot.differentiable)]

    def _launch(self, kernel: Any, shapes: Sequence[Shape]) -> Any:
        """The engine's call for contiguous arrays, if it has such a thing."""
        if not hasattr(kernel, "launcher"):
            return None
        pairs = zip(kernel.inputs, shapes, strict=True)
        return kernel.launcher((0, *((shape, _strides(shape, slot.dtype.itemsize)) for slot, shape in pairs)))

    def _inputs(self) -> Iterator[Leaf]:
        target, spec = self.operation.wrapped.target, self.call.spec
        paths = _tree.leaf_paths(spec)
        owners = [k for k, child in enumerate(spec.children()) for _ in range(child.num_leaves)]
        for i, (leaf, slot) in enumerate(zip(self.call.dynamic, self.rule.inputs, strict=True)):
            if leaf < len(owners):
                name = target.argument_name(owners[leaf]).strip("'") + paths[leaf].partition("]")[2]
            else:
                name = "captured value"
            yield Leaf(name, slot.dtype, self.shapes[i], i in self.active)

    def _outputs(self) -> Iterator[Leaf]:
        tree = self.call.result_tree()
        names = ["result"] if tree.is_leaf() else [f"result{path}" for path in _tree.leaf_paths(tree)]
        shapes = self.rule.output_shapes(self.shapes)
        for name, slot, shape in zip(names, self.rule.outputs, shapes, strict=True):
            yield Leaf(name, slot.dtype, shape, bool(self.active) and slot.differentiable)

    def _bytes_kept(self) -> int:
        if not self.stored:
            return 0
        partials = self.rule.partials(self.active)
        shapes = partials.output_shapes(self.shapes)
        kept = zip(partials.outputs, shapes, strict=True)
        sizes = [slot.dtype.itemsize * math.prod(shape) for slot, shape in kept]
        return sum(sizes[len(self.rule.outputs) :])

    def _elements(self, group: Sequence[int]) -> int:
        """Partials that one pass computes for one element of the loop."""
        return sum(math.prod(self._core(a)) for a in group)

    def _core(self, i: int) -> Shape:
        return self.shapes[i][len(self.shapes[i]) - self.rule.inputs[i].core_ndim :]

    def _chunks(self, group: Sequence[int]) -> int:
        chunk = getattr(self.rule, "chunk", None)
        if _derive.in_one_pass(self.rule.inputs, group, chunk):
            return 1
        return max(1, math.ceil(self._elements(group) / (chunk or _derive.CHUNK)))


def _strides(shape: Shape, itemsize: int) -> tuple[int, ...]:
    steps = [itemsize]
    for extent in shape[:0:-1]:
        steps.append(steps[-1] * max(extent, 1))
    return tuple(reversed(steps)) if shape else ()
