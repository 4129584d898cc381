"""Rules whose core function is compiled by Numba."""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fwddiff import _derive
from fwddiff._errors import DerivativeError
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
from fwddiff.engines import numpy
from fwddiff.engines.numba import language, pipeline, schedule, ssa
from fwddiff.engines.numba.cache import Store
from fwddiff.engines.numba.failures import raise_what_failed
from fwddiff.engines.numba.frontend.cost import cost
from fwddiff.engines.numba.kernel import Kernel, Launch
from fwddiff.engines.numba.messages import explained
from fwddiff.engines.numba.scalar_function import scalar_function
from fwddiff.engines.numba.schedule import layout
from fwddiff.engines.numba.schedule.operands import usable
from fwddiff.engines.numba.undisturbed import undisturbed
from fwddiff.engines.numpy.function import plans_of_methods
from fwddiff.engines.numpy.outline import outline
from fwddiff.engines.numpy.unknown import Unclear


class NumbaRule(Rule):
    """`store` keeps its kernels on disk."""

    base: NumbaRule
    has_jacobian = True
    model: NumbaRule | None = None  # whose kernels this rule shares (`FunctionRule`'s twins)
    # Outputs that are derivatives: where one is nan, the call is made again, by `exactly`. Of partials that
    # hosts store, infinite ones are told too.
    checked: tuple[int, ...] = ()
    stored = False

    @property
    def exactly(self) -> NumbaRule:
        """The same rule in exact code (see `ssa.differentiate`)."""
        return self

    @functools.cached_property
    def code(self) -> ssa.Function:
        """The function in the form that is differentiated. Raises `CompileError` where there is none."""
        with undisturbed(), explained(self.function, self.store.problem):
            return self._find_code()

    def _find_code(self) -> ssa.Function:
        raise NotImplementedError

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
            again = functools.partial(self._launch_again, key)
            fail = functools.partial(raise_what_failed, self, key)
            found = self._launchers[key] = Launch(
                self._kernel(plan.pattern), plan.layout, plan.tasks, outputs, self.name, again, fail
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
        return Kernel(code, lambda: self._compiled(pattern).assembly())

    def _compiled(self, pattern: str) -> Kernel:
        self.store.problem.refuse_changes()
        with undisturbed(), explained(self.function, self.store.problem):
            checks = schedule.Checks(self.checked, self.stored)
            how = (self.code, self.inputs, self.outputs, pattern, checks, self.dear)
            machine = pipeline.machine_code(*how)
        self.store.problem.refuse_changes()  # while it was compiled
        if machine.is_portable:
            self.store.keep_kernel(f"{self.key} {pattern}", machine.code)
        code = Code(machine.address, machine.owner, interrupts.expect(machine.needs))
        return Kernel(code, functools.partial(pipeline.assembly, *how))

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
        return None if arrays else scalar_function(self)

    def fail(self, leaves: Sequence[Any]) -> None:
        """Raises what the user's function raises for these leaves, which runs as Python with the meanings
        that functions have in kernels."""
        self.base.fail(leaves[: len(self.base.inputs)])

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
    *("problem", "code", "_outputs", "_tree", "kind", "active", "exact", "checked", "stored"),
)


class BaseRule(FunctionRule, NumbaRule):
    """The user's own function."""

    def __init__(self, problem: Problem):
        store, function = Store(problem), problem.plan.function
        NumbaRule.__init__(self, problem.name, problem.inputs, store.key, 0, problem.chunk, function, store)
        self._start(problem)
        self.dear, self.elementary = cost(problem.plan)

    @property
    def knows_results(self) -> bool:
        return self.outputs is not None  # types tell, and compiling finds them

    def result_tree(self) -> Any:
        """Structure of the results."""
        self.outputs  # noqa: B018 - finds the structure, if nothing has yet
        return self._tree

    def find_results(self) -> None:
        """Learn what the function returns: from disk, else by compiling it."""
        if "_outputs" in self.__dict__:
            return
        found = self.store.results()
        if found is None:
            found = self._slots_of_code(), self._translated.tree
            self.store.keep_results(*found)
        self._outputs, self._tree = found

    def _slots_of_code(self) -> tuple[Slot, ...]:
        dtypes = {"double": np.dtype(np.float64), "float": np.dtype(np.float32)}
        elements = [kind if isinstance(kind, str) else kind.element for kind in self.code.outputs]
        return tuple(
            dataclasses.replace(slot, dtype=dtypes.get(kind, slot.dtype))
            for slot, kind in zip(self._translated.slots, elements, strict=True)
        )

    @functools.cached_property
    def _translated(self) -> language.Core:
        return language.translate(self.problem)

    def _find_code(self) -> ssa.Function:
        core = self._translated
        function = ssa.returning(core.text, core.symbol, core.inputs, core.outputs)
        weak = "float" if self.problem.float_dtype == np.float32 else "double"
        return ssa.narrowed(function, pipeline.kinds(self.inputs), weak)

    def _find_outputs(self) -> tuple[Slot, ...]:
        self.find_results()
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
        """The function runs once in Python, on leaves of the call's own."""
        return tuple(map(np.shape, self._in_python(leaves)))

    def _in_python(self, leaves: Sequence[np.ndarray]) -> Sequence[Any]:
        return numpy.rule(self.problem)(list(leaves))

    def fail(self, leaves: Sequence[Any]) -> None:
        self._in_python(leaves)

    def _twin(self) -> BaseRule:
        self.result_tree()
        twin = self.sharing()
        twin._start(self.problem)
        return twin

    def know_integers(self, integers: Mapping[int, int]) -> None:
        super().know_integers(integers)
        # PyTorch finds rules by key.
        self.key = hashlib.sha256(f"{self.kernel_key} {sorted(integers.items())}".encode()).hexdigest()


class DerivedRule(NumbaRule):
    """Pushforward, pullback or partials of another rule, in ordinary code or exact code."""

    def __init__(self, base: NumbaRule, kind: str, active: tuple[int, ...], exact: bool = False):
        self.exact = exact
        depth = base.depth + 1
        if isinstance(base, BaseRule):
            base.find_results()
        self.base, self.kind, self.active = base, kind, active
        if not base.differentiable_outputs:
            raise DerivativeError(
                f"{base.name} has no output that depends smoothly on its arguments: all are integers."
            )
        inputs, self._outputs = derived_slots(kind, base.inputs, base.outputs, active)
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

    def runs(self, shapes: Sequence[Shape]) -> int:
        base = self.base.runs(shapes)
        if split_kind(self.kind)[0] == "pushforward":
            return base
        if _derive.in_one_pass(self.base.inputs, self.active, self.base.chunk):
            return base
        elements = sum(math.prod(shapes[a]) for a in self.active)
        chunk = self._chunk(self.base.code.has_arrays)
        return base * max(1, -(-elements // chunk))

    def _chunk(self, is_wide: bool) -> int:
        depth = self.base.depth
        return self.base.chunk or (pipeline.wide(depth) if is_wide else _derive.chunk_of(depth))

    def _find_code(self) -> ssa.Function:
        slots = self.base.outputs, self.inputs, self.outputs
        at_once = _derive.in_one_pass(self.base.inputs, self.active, self.base.chunk)
        chunk = 0 if at_once else self._chunk(self.base.code.has_arrays)
        return pipeline.derived(self.base.code, self.kind, self.active, slots, exact=self.exact, chunk=chunk)

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
