"""Sparse Jacobians and Hessians of a function: pattern, colours, kernel and places of entries, made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff import _dual_host
from fwddiff._errors import ArgumentError, ShapeError, SparsityError
from fwddiff._rule import Rule
from fwddiff.sparsity import _compression
from fwddiff.sparsity._check import missed
from fwddiff.sparsity._detect import Found, detect
from fwddiff.sparsity._given import compressed, given, scipy_sparse, symmetric


class SparseDerivative:
    """A sparse Jacobian or Hessian, prepared at one point for all points of the same shapes.

    Args:
        point: Makes of arguments what the operators know of a function at a point (`_operators._At`: `rule`,
            `leaves`, `inputs`, `name`, `value`).
        arguments: Those of the function, to prepare at.
        pattern: "detect", a `scipy.sparse` array, or a boolean NumPy array.
        check: Whether calls compare the result, along one random direction, with a pushforward that knows no
            pattern. `None`: where it may be needed. A pattern that was given is checked at preparation; one
            that was found, in every call, if values of the arguments decided what was computed.

    Calls take the same arguments. They may run in several threads at once.
    """

    operator = "jacobian"

    def __init__(
        self, point: Callable[..., Any], arguments: Sequence[Any], pattern: Any, check: bool | None = None
    ):
        scipy_sparse()
        self.point, at = point, point(*arguments)
        self._expect_sparse(at)
        self.input = at.inputs[0]
        self.base = at.rule
        self.like = [_kind(leaf) for leaf in at.leaves]
        self.shape = self._shape(at)
        self.found = self._found(at, pattern)
        self.pattern = self._pattern(pattern)
        self.dtype, self.rule = self._rule(at)
        if self.rule is not None:
            self.parts = self._parts(np.shape(at.leaves[self.input]), self.rule.inputs[-1].dtype)
        self.constants = self._constants(at)
        self.check = bool(check) if check is not None else self.found is not None and bool(self.found.branch)
        if check is None and self.found is None:
            self._check(at, self._data(at, None))

    def __call__(self, *arguments: Any, out: Any = None) -> Any:
        """The derivative as a `scipy.sparse.csr_array`, with a row for each element of the result and a
        column for each of the argument, both in C order. `out`, an array that a call returned, gets the
        new entries.

        Raises:
            ShapeError: the arguments are not of the shapes and dtypes of those at preparation.
            ArgumentError: integers among them differ, or `out` is of another pattern.
            SparsityError: the pattern misses an entry, or holds for other constants only.
        """
        return self.at(self.point(*arguments), out)

    def value_and(self, *arguments: Any, out: Any = None) -> tuple[Any, Any]:
        """The function's value, and the derivative."""
        at = self.point(*arguments)
        return at.value(), self.at(at, out)

    def at(self, at: Any, out: Any = None) -> Any:
        """The derivative at a point made already."""
        self._expect_like(at)
        data = self._data(at, out)
        if self.check:
            self._check(at, data)
        return out if out is not None else self._array(data)

    @property
    def colours(self) -> int:
        """How many directional derivatives an evaluation takes."""
        return 0 if self.rule is None else sum(len(part.seeds) for part in self.parts)

    # --- preparation ----------------------------------------------------------------------------------------

    def _expect_sparse(self, at: Any) -> None:
        at.expect_arrays(self.operator)
        if len(at.inputs) != 1:
            raise ArgumentError(f"{self.operator} with sparsity= takes one argument to differentiate by.")
        if _dual_host.has_loop_axes(at.rule, at.leaves):
            raise ArgumentError(
                f"{self.operator} with sparsity= takes a function of arrays, not {at.name}.broadcast or "
                ".sum: write the function that calls it."
            )
        if len(at.rule.outputs) != 1 or not at.tree().is_leaf() or at.rule.outputs[0].dtype.kind == "b":
            raise ArgumentError(
                f"{self.operator} with sparsity= needs a function that returns one float array or number; "
                f"{at.name} does not."
            )
        _refuse_duals(at)

    def _shape(self, at: Any) -> tuple[int, int]:
        return int(np.size(at.results()[0])), int(np.size(at.leaves[self.input]))

    def _found(self, at: Any, pattern: Any) -> Found | None:
        if not isinstance(pattern, str):
            return None
        if pattern != "detect":
            raise ArgumentError(f'sparsity={pattern!r} is no pattern: "detect" finds it.')
        return detect(at.rule, at.leaves, self.input, second=self.operator == "hessian")

    def _pattern(self, pattern: Any) -> Any:
        return given(pattern, self.shape) if self.found is None else compressed(self.found, self.shape)

    def _rule(self, at: Any) -> tuple[np.dtype, Rule | None]:
        """The pushforward, and the dtype of what comes out."""
        if at.is_constant():
            return np.dtype(np.float64), None
        rule = at.rule.pushforward((self.input,))
        return rule.outputs[0].dtype, rule

    def _parts(self, shape: tuple[int, ...], dtype: np.dtype) -> list[_compression.Part]:
        return _compression.of_jacobian(self.pattern, shape, dtype)

    def _constants(self, at: Any) -> dict[int, np.ndarray]:
        """Where constants have to stay zero, by position."""
        if self.found is None or not self.found.zeros_used:
            return {}
        floats = [k for k, slot in enumerate(at.rule.inputs) if slot.dtype.kind == "f" and k != self.input]
        zeros = {k: np.asarray(at.leaves[k]) == 0 for k in floats}
        return {k: where for k, where in zeros.items() if where.any()}

    # --- evaluation -----------------------------------------------------------------------------------------

    def _data(self, at: Any, out: Any) -> np.ndarray:
        data = np.zeros(self.pattern.nnz, self.dtype) if out is None else self._data_of(out)
        if self.rule is not None and self.pattern.nnz:
            _compression.evaluate(self.rule, self._leaves(at), self.parts, data)
        return data

    def _leaves(self, at: Any) -> list[np.ndarray]:
        return [np.asarray(leaf, slot.dtype) for leaf, slot in zip(at.leaves, at.rule.inputs, strict=True)]

    def _array(self, data: np.ndarray) -> Any:
        indices, starts = self.pattern.indices.copy(), self.pattern.indptr.copy()
        array = scipy_sparse().csr_array((data, indices, starts), shape=self.shape)
        array.has_canonical_format = True
        return array

    def _data_of(self, out: Any) -> np.ndarray:
        same = (
            scipy_sparse().issparse(out)
            and out.format == "csr"
            and out.shape == self.shape
            and out.data.dtype == self.dtype
            and out.data.flags.c_contiguous
            and np.array_equal(out.indptr, self.pattern.indptr)
            and np.array_equal(out.indices, self.pattern.indices)
        )
        if not same:
            raise ArgumentError(f"out= has to be what an earlier call of this {self.operator} returned.")
        return out.data

    # --- checks ---------------------------------------------------------------------------------------------

    def _expect_like(self, at: Any) -> None:
        _refuse_duals(at)
        found = [_kind(leaf) for leaf in at.leaves]
        for k, (now, then) in enumerate(zip(found, self.like, strict=False)):
            if now[:2] != then[:2] or len(found) != len(self.like):
                raise ShapeError(
                    f"this {self.operator} of {at.name} was prepared for {_shown(then)} as input {k}, and "
                    f"got {_shown(now)}: prepare it for these arguments."
                )
            if now[2] is not None and not np.array_equal(now[2], then[2]):
                raise ArgumentError(
                    f"this {self.operator} of {at.name} was prepared for other integers, which may decide "
                    "what its pattern is: prepare it for these."
                )
        if at.rule is not self.base:
            raise ArgumentError(
                f"this {self.operator} of {at.name} was prepared for another function or other constants "
                "(strings, truths, structures): prepare it for these."
            )
        for k, zeros in self.constants.items():
            if np.any(np.asarray(at.leaves[k])[zeros]):
                raise SparsityError(
                    f"constants of {at.name} were zero when the pattern of its {self.operator} was found, "
                    "and are not now: prepare it for these."
                )

    def _check(self, at: Any, data: np.ndarray) -> None:
        if self.rule is None:
            return
        rows = missed(self.rule, self._leaves(at), np.shape(at.leaves[self.input]), self._array(data))
        if rows.size:
            shown = ", ".join(map(str, rows[:10])) + (", …" if rows.size > 10 else "")
            branch = self.found and self.found.branch
            why = (
                f"It was found where other branches were taken ({branch}): prepare it at such arguments, or "
                "give a pattern that holds for all branches."
                if branch
                else 'Give one that has all entries, or sparsity="detect".'
            )
            raise SparsityError(
                f"the pattern of the {self.operator} of {at.name} misses entries in {rows.size} of "
                f"{self.shape[0]} rows: {shown}. {why}"
            )


class SparseJacobian(SparseDerivative):
    """Jacobian of a function that returns an array (see `SparseDerivative`)."""


class SparseHessian(SparseDerivative):
    """Hessian of a function that returns a number, with a row and a column for each element of the argument
    (see `SparseDerivative`). Of a pattern that is given, one triangle is enough."""

    operator = "hessian"

    def _expect_sparse(self, at: Any) -> None:
        at.expect_one_number("hessian", "jacobian")
        super()._expect_sparse(at)

    def _shape(self, at: Any) -> tuple[int, int]:
        size = int(np.size(at.leaves[self.input]))
        return size, size

    def _pattern(self, pattern: Any) -> Any:
        return symmetric(super()._pattern(pattern))

    def _rule(self, at: Any) -> tuple[np.dtype, Rule | None]:
        if at.is_constant():
            return np.dtype(np.float64), None
        rule = at.rule.pullback((self.input,)).pushforward((self.input,))
        return rule.outputs[0].dtype, rule

    def _parts(self, shape: tuple[int, ...], dtype: np.dtype) -> list[_compression.Part]:
        return _compression.of_hessian(self.pattern, shape, dtype)

    def _leaves(self, at: Any) -> list[np.ndarray]:
        return [*super()._leaves(at), np.asarray(1.0, at.rule.outputs[0].dtype)]


def _refuse_duals(at: Any) -> None:
    if any(map(_dual_host.owns, at.leaves)):
        raise ArgumentError(
            f"a sparse derivative of {at.name} inside of another derivative: sparse arrays hold no dual "
            "numbers. Leave sparsity= out there."
        )


def _kind(leaf: Any) -> tuple[tuple[int, ...], str, Any]:
    """Shape, dtype, and the value of integers and truths."""
    array = np.asarray(leaf)
    return array.shape, array.dtype.str, None if array.dtype.kind == "f" else np.array(array)


def _shown(kind: tuple[tuple[int, ...], str, Any]) -> str:
    return f"an array of shape {kind[0]} and dtype {np.dtype(kind[1]).name}"
