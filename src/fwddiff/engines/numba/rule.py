"""Rules whose core function is compiled by Numba."""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import numba
from fwddiff import _derive
from fwddiff._errors import CompileError, DerivativeError
from fwddiff._mistakes import named
from fwddiff._native import interrupts, tasks
from fwddiff._native.arrays import address
from fwddiff._native.machine_code import Code
from fwddiff._problem import Problem
from fwddiff._rule import (
    Native,
    Rule,
    Shape,
    Slot,
    Unbounded,
    derived_core_shapes,
    derived_slots,
    split_kind,
)
from fwddiff._sizes import FunctionRule, Shapes
from fwddiff.engines.numba import kernel, language, layout, loops, pipeline, schedule, ssa
from fwddiff.engines.numba.cache import Store
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.kernel import Kernel, Launch
from fwddiff.engines.numba.messages import explained
from fwddiff.engines.numba.operands import usable
from fwddiff.engines.numba.options import INLINED
from fwddiff.engines.numba.prepare import Prepared
from fwddiff.engines.numba.results import result_tree, slots_of
from fwddiff.engines.numba.scalar_function import scalar_function
from fwddiff.engines.numba.seeding import primitives
from fwddiff.engines.numba.undisturbed import undisturbed
from fwddiff.engines.numpy.function import plans_of_methods
from fwddiff.engines.numpy.outline import outline
from fwddiff.engines.numpy.unknown import Unclear
from numba.core import types

_log = logging.getLogger(__name__)


class NumbaRule(Rule):
    """`core` is a Numba function of leaves that returns the tuple of the outputs' leaves; `store` keeps its
    kernels on disk."""

    core: Any
    has_jacobian = True
    model: NumbaRule | None = None  # whose kernels this rule shares (`FunctionRule`'s twins)
    # Outputs that are derivatives: where one is nan, the call is made again, by `exactly`. Of partials that
    # hosts store, infinite ones are told too.
    checked: tuple[int, ...] = ()
    stored = False

    @property
    def exactly(self) -> NumbaRule:
        """The same rule on exact duals (see `zeros`)."""
        return self

    @functools.cached_property
    def numbers(self) -> ssa.Function | None:
        """The function in the form that is differentiated; `None` where it goes by types of duals."""
        try:
            return self._find_numbers()
        except ssa.Refused as reason:
            _log.debug("%s goes by types of duals: %s", self.name, reason)
            return None

    def _find_numbers(self) -> ssa.Function | None:
        return None

    def runs(self, shapes: Sequence[Shape]) -> int:
        """How often the kernel runs the function for inputs of these shapes, once per pass over chunks."""
        return 1

    def __init__(
        self,
        name: str,
        inputs: tuple[Slot, ...],
        key: str,
        depth: int,
        chunk: int | None,
        function,
        store: Store,
    ):
        self.name, self.inputs, self.store = name, inputs, store
        self.key, self.depth, self.chunk, self.function = key, depth, chunk, function
        self._launchers: dict[tuple, Launch] = {}
        self._kernels: dict[str, Kernel] = {}

    # --- evaluation -----------------------------------------------------------------------------------------

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        arrays = [usable(array, slot) for array, slot in zip(arrays, self.inputs, strict=True)]
        launch = self._launch(arrays, batch_ndim)
        outputs = [np.empty(shape, dtype) for shape, dtype in launch.outputs]
        bounded = launch(*map(address, arrays), *map(address, outputs))
        return tuple(outputs) if bounded or not self.stored else Unbounded(outputs)

    def repeated(self, arrays: Sequence[np.ndarray]) -> Launch:
        return self._launch([usable(a, slot) for a, slot in zip(arrays, self.inputs, strict=True)], 0)

    def _launch(self, arrays: Sequence[np.ndarray], batch_ndim: int) -> Launch:
        key = (batch_ndim, *[(array.shape, array.strides) for array in arrays])
        launch = self._launchers.get(key)
        if launch is None:
            self._learn_from(arrays)
            launch = self.launcher(key)
        return launch

    def launcher(self, key: tuple) -> Launch:
        """The call of a kernel for inputs of these shapes and byte strides: `(batch_ndim, (shape, strides),
        …)`."""
        found = self._launchers.get(key)
        if found is None:
            batch_ndim, *operands = key
            plan = layout.plan(self, [shape for shape, _ in operands], [s for _, s in operands], batch_ndim)
            outputs = [
                (shape, slot.dtype) for shape, slot in zip(plan.output_shapes, self.outputs, strict=True)
            ]
            machine_code = self._kernel(plan.pattern)
            again = functools.partial(self._launch_again, key)
            found = self._launchers[key] = Launch(
                machine_code, plan.layout, plan.tasks, outputs, self.name, self.store.problem, again
            )
        return found

    def _launch_again(self, key: tuple) -> Launch:
        return self.exactly.launcher(key)

    def _learn_from(self, arrays: Sequence[np.ndarray]) -> None:
        """Make sure that the shapes of the results are known for inputs like these."""

    def _kernel(self, pattern: str) -> Kernel:
        if self.model is not None:
            return self.model._kernel(pattern)
        if pattern not in self._kernels:
            self._kernels[pattern] = self._kept(pattern) or self._compiled(pattern)
        return self._kernels[pattern]

    def _kept(self, pattern: str) -> Kernel | None:
        code = self.store.kernel(f"{self.key} {pattern}")
        if code is None:
            return None
        compiled = functools.cache(lambda: self._compiled(pattern))
        return Kernel(code, lambda: compiled().raising(), lambda: compiled().assembly())

    def _compiled(self, pattern: str) -> Kernel:
        self.store.problem.refuse_changes()
        with undisturbed(), explained(self.function, self.store.problem):
            made, kept = self._by_numbers(pattern) or self._by_types(pattern)
        self.store.problem.refuse_changes()  # while it was compiled
        self.store.keep_kernel(f"{self.key} {pattern}", kept)
        return made

    def _by_numbers(self, pattern: str) -> tuple[Kernel, Any] | None:
        """The kernel, and what of it goes on disk."""
        if self.numbers is None:
            return None
        checks = schedule.Checks(self.checked, self.stored)
        how = (self.numbers, self.inputs, self.outputs, pattern, checks, self.dear)
        try:
            machine = pipeline.machine_code(*how)
        except ssa.Refused as reason:
            _log.debug("%s goes by types of duals: %s", self.name, reason)
            return None

        def raising() -> Any:
            return kernel.raising(self.core, self.inputs, self.outputs, pattern)

        code = Code(machine.address, machine.owner, interrupts.expect(machine.needs))
        kept = machine.code if machine.is_portable else None
        return Kernel(code, raising, functools.partial(pipeline.assembly, *how)), kept

    def _by_types(self, pattern: str) -> tuple[Kernel, Any]:
        checks = schedule.Checks(self.checked, self.stored)
        made = kernel.build(self.core, self.inputs, self.outputs, pattern, self.dear, checks)
        return made, made.owner

    def native(self, shapes: Sequence[Shape], batch_ndim: int = 0) -> Native:
        strides = [
            layout.contiguous_strides(shape, slot.dtype.itemsize)
            for shape, slot in zip(shapes, self.inputs, strict=True)
        ]
        plan = layout.plan(self, shapes, strides, batch_ndim)
        if plan.tasks > 1:
            tasks.runner()
        found, name = self._kernel(plan.pattern), f"{self.kernel_key} {plan.pattern}"
        origin = self.store.origin(name)
        return Native(
            found.address, plan.layout, _key_of(name, found), found, f"numba.cache {origin}" if origin else ""
        )

    @property
    def kernel_key(self) -> str:
        return self.key if self.model is None else self.model.kernel_key

    def sharing(self) -> Any:
        """A rule of the same kernels, with no launches and derivatives of its own yet."""
        other: Any = object.__new__(type(self))
        vars(other).update({name: vars(self)[name] for name in _SHARED if name in vars(self)})
        other.model, other._launchers = self, {}
        return other

    def scalar_function(self) -> Any:
        arrays = any(slot.core_ndim for slot in (*self.inputs, *self.outputs))
        return None if arrays else scalar_function(self.core, self.inputs, self.outputs)

    # --- what the function returns --------------------------------------------------------------------------

    @property
    def outputs(self) -> tuple[Slot, ...]:
        if "_outputs" not in self.__dict__:
            self._outputs = self._find_outputs()
        return self._outputs

    def _find_outputs(self) -> tuple[Slot, ...]:
        raise NotImplementedError

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        raise NotImplementedError

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        if self.model is None:
            return DerivedRule(self, kind, active)
        shared: Any = self.model._derived(kind, active)
        derived = shared.sharing()
        derived.base, derived.key = self, _derived_key(self, kind, active)
        return derived


_SHARED = (
    *("name", "inputs", "mode", "passes", "store", "depth", "chunk", "function", "dear", "elementary"),
    *("problem", "prepared", "core", "_outputs", "_tree", "kind", "active", "level", "exact", "checked"),
    "stored",
)


class BaseRule(FunctionRule, NumbaRule):
    """The user's own function."""

    def __init__(self, problem: Problem, core: Any, prepared: Prepared):
        store, function = Store(problem), problem.plan.function
        NumbaRule.__init__(self, problem.name, problem.inputs, store.key, 0, problem.chunk, function, store)
        self._start(problem)
        self.core, self.prepared = core, prepared
        self.dear, self.elementary = prepared.has_loops(), prepared.elementary()

    @property
    def knows_results(self) -> bool:
        return self.outputs is not None  # types tell, and compiling finds them

    def result_tree(self) -> Any:
        """Structure of the results."""
        self.outputs  # noqa: B018 - finds the structure, if nothing has yet
        return self._tree

    def find_results(self, kinds: tuple[types.Type, ...]) -> None:
        """Learn what the function returns: from disk, else by compiling it for leaves of these types."""
        if "_outputs" in self.__dict__:
            return
        found = self.store.results()
        if found is None:
            with undisturbed(), explained(self.function, self.store.problem):
                found = self._results_by_numbers() or self._results_by_types(kinds)
            self.store.keep_results(*found)
        self._outputs, self._tree = found

    def _results_by_numbers(self) -> tuple[tuple[Slot, ...], Any] | None:
        if self.numbers is None or self._translated is None:
            return None
        dtypes = {"double": np.dtype(np.float64), "float": np.dtype(np.float32)}
        elements = [kind if isinstance(kind, str) else kind.element for kind in self.numbers.outputs]
        slots = tuple(
            dataclasses.replace(slot, dtype=dtypes.get(kind, slot.dtype))
            for slot, kind in zip(self._translated.slots, elements, strict=True)
        )
        return slots, self._translated.tree

    def _results_by_types(self, kinds: tuple[types.Type, ...]) -> tuple[tuple[Slot, ...], Any]:
        self.core.compile(kinds)
        returned = self.core.overloads[kinds].signature.return_type
        slots = slots_of(self.problem, returned.types)
        return slots, result_tree(self.prepared.entry, len(slots))

    @functools.cached_property
    def _translated(self) -> Any:
        return language.translate(self.problem)

    def _find_numbers(self) -> ssa.Function | None:
        core = self._translated
        function = ssa.returning(core.text, core.symbol, core.inputs, core.outputs)
        weak = "float" if self.problem.float_dtype == np.float32 else "double"
        return ssa.narrowed(function, pipeline.kinds(self.inputs), weak)

    def _find_outputs(self) -> tuple[Slot, ...]:
        self.find_results(tuple(loops.leaf_type(slot) for slot in self.inputs))
        return self._outputs

    def _learn_from(self, arrays: Sequence[np.ndarray]) -> None:
        self.learn(arrays)

    def _outline(self, cores: Shapes) -> Shapes:
        leaves, tree = outline(self.problem, plans_of_methods(self.problem), cores, self.integers)
        found = tuple(map(np.shape, leaves))
        if tree != self.result_tree() or [len(s) for s in found] != [slot.core_ndim for slot in self.outputs]:
            raise Unclear("its results have another structure, or other axes, than types or out_shape= tell")
        return found

    def _run_first(self, leaves: Sequence[np.ndarray]) -> Shapes:
        """The function runs once on leaves of the call's own, in a kernel that notes shapes."""
        arrays = [np.ascontiguousarray(a, slot.dtype) for a, slot in zip(leaves, self.inputs, strict=True)]
        extents = np.array([extent for leaf in leaves for extent in np.shape(leaf)] or [0], np.int64)
        found = np.zeros(sum(slot.core_ndim for slot in self.outputs), np.int64)
        pointers = np.array([array.ctypes.data for array in arrays] or [0], np.int64)
        shapes = self._shape_kernel()
        interrupts.forget()
        with named(self.problem):
            shapes(pointers.ctypes.data, extents.ctypes.data, found.ctypes.data)
        remaining = iter(found.tolist())
        return tuple(tuple(next(remaining) for _ in range(slot.core_ndim)) for slot in self.outputs)

    def _shape_kernel(self) -> Any:
        if self.model is not None:
            return self.model._shape_kernel()
        if "_shapes_of_first" not in vars(self):
            with explained(self.function, self.store.problem):
                self._shapes_of_first = loops.build_shapes(self.core, self.inputs, self.outputs)
        return self._shapes_of_first

    def _twin(self) -> BaseRule:
        self.result_tree()
        twin = self.sharing()
        twin._start(self.problem)
        return twin

    def know_integers(self, integers: Mapping[int, int]) -> None:
        super().know_integers(integers)
        # PyTorch finds rules by key.
        self.key = hashlib.sha256(f"{self.kernel_key} {sorted(integers.items())}".encode()).hexdigest()

    def seeded_types(self, kind: str, active: tuple[int, ...], level: int) -> tuple[types.Type, ...] | None:
        """Types of the leaves in a statically seeded pass; `None` where the pass is of another kind."""
        is_contracted = split_kind(kind)[0] in ("pullback", "partials")
        if not (is_contracted and _derive.in_one_pass(self.inputs, active, self.chunk)):
            return None
        kinds = [loops.leaf_type(slot) for slot in self.inputs]
        for k, a in enumerate(active):
            kinds[a] = type(kinds[a])(kinds[a].base, ((level, (k,)),))
        return tuple(kinds)


class DerivedRule(NumbaRule):
    """Pushforward, pullback or partials of another rule, on ordinary duals or exact ones."""

    def __init__(self, base: NumbaRule, kind: str, active: tuple[int, ...], exact: bool = False):
        self.exact = exact
        depth = base.depth + 1
        level = _derive.OUTERMOST_LEVEL - depth
        if isinstance(base, BaseRule) and (kinds := base.seeded_types(kind, active, level)) is not None:
            with contextlib.suppress(CompileError):  # told by the kernel, which may know a way
                base.find_results(kinds)
        self.base, self.kind, self.active = base, kind, active
        if not base.differentiable_outputs:
            raise DerivativeError(
                f"{base.name} has no output that depends smoothly on its arguments: all are integers."
            )
        inputs, self._outputs = derived_slots(kind, base.inputs, base.outputs, active)
        self.level = level
        key = _derived_key(base, kind, active, exact)
        name = f"{kind} of {base.name}"
        super().__init__(name, inputs, key, depth, base.chunk, base.function, base.store)
        self.dear, self.elementary = base.dear, base.elementary
        self.stored = kind == "partials"
        if not exact:
            values = len(base.outputs) if split_kind(kind)[1] else 0
            self.checked = tuple(j for j in range(len(self._outputs)) if j in base.checked or j >= values)

    @functools.cached_property
    def exactly(self) -> NumbaRule:
        if not self.checked:
            return self
        if self.model is None:
            return DerivedRule(self.base.exactly, self.kind, self.active, exact=True)
        found = self.model.exactly.sharing()
        found.base, found.key = self.base.exactly, _derived_key(self.base, self.kind, self.active, True)
        return found

    @functools.cached_property
    def core(self) -> Any:
        return self._derived_core()

    def runs(self, shapes: Sequence[Shape]) -> int:
        base = self.base.runs(shapes)
        if split_kind(self.kind)[0] == "pushforward":
            return base
        if _derive.in_one_pass(self.base.inputs, self.active, self.base.chunk):
            return base
        elements = sum(math.prod(shapes[a]) for a in self.active)
        numbers = self.base.numbers if self.numbers is not None else None
        chunk = self._chunk(numbers is not None and numbers.has_arrays)
        return base * max(1, -(-elements // chunk))

    def _chunk(self, is_wide: bool) -> int:
        depth = self.base.depth
        return self.base.chunk or (pipeline.wide(depth) if is_wide else _derive.chunk_of(depth))

    def _find_numbers(self) -> ssa.Function | None:
        base = self.base.numbers
        if base is None:
            return None
        slots = self.base.outputs, self.inputs, self.outputs
        at_once = _derive.in_one_pass(self.base.inputs, self.active, self.base.chunk)
        chunk = 0 if at_once else self._chunk(base.has_arrays)
        return pipeline.derived(base, self.kind, self.active, slots, exact=self.exact, chunk=chunk)

    def _derived_core(self, widened: Sequence[int] = ()):
        base, kind, chunk = self.base, self.kind, self.base.chunk
        text = _derive.derived_source(kind, base.inputs, base.outputs, self.active, chunk, widened)
        namespace = primitives(
            self.level, chunk or _derive.chunk_of(base.depth), len(self.active), self.exact
        ) | {"f": base.core}
        return numba.njit(compile_function(kind, text, namespace), **INLINED)

    def _compiled(self, pattern: str) -> Kernel:
        """As for any rule; where that fails, arrays that are not active get room for partials.

        A function may copy such an array and write into the copy what depends on an active input. Doing so
        always would let the zero partials meet infinities.
        """
        try:
            return super()._compiled(pattern)
        except CompileError:
            arrays = [
                i for i, slot in enumerate(self.base.inputs) if slot.core_ndim and slot.dtype.kind == "f"
            ]
            widened = [i for i in arrays if i not in self.active]
            if not widened:
                raise
            narrow, self.core = self.core, self._derived_core(widened)
            try:
                return super()._compiled(pattern)
            except CompileError:
                self.core = narrow
            raise

    def _learn_from(self, arrays: Sequence[np.ndarray]) -> None:
        self.base._learn_from(arrays[: len(self.base.inputs)])

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return derived_core_shapes(self.kind, self.base, self.active, core_inputs)


def _derived_key(base: NumbaRule, kind: str, active: tuple[int, ...], exact: bool = False) -> str:
    return hashlib.sha256(f"{base.key} {kind} {active}{' exact' * exact}".encode()).hexdigest()


_owners: dict[str, Any] = {}


def _key_of(content: str, function: Any) -> str:
    """Hash of the content, and of a number where another kernel of this process has the same content.

    What the content leaves out (the methods of two classes of one name, say) must not give the wrong kernel.
    """
    for number in itertools.count():
        key = hashlib.sha256(f"{content} {number or ''}".encode()).hexdigest()
        if _owners.setdefault(key, function) is function:
            return key
    raise AssertionError("unreachable")
