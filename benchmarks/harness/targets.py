"""The targets: ratios of two contestants' times (or peak memories) within one run, or times alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.harness.case import Case, Measurement

Results = Sequence[tuple[Case, Sequence[Measurement]]]


@dataclass(frozen=True)
class Target:
    """`ours` takes at most `limit` times what the best of `theirs` takes, and `more` seconds, in every case
    of workload `letter` whose title or size is `where`. Without `theirs`, `limit` is in seconds.

    `note` is what a profile shows, printed where the target is missed.
    """

    letter: str
    text: str
    ours: str
    theirs: tuple[str, ...]
    limit: float
    where: str = ""
    metric: Literal["time", "memory"] = "time"
    note: str = ""
    more: float = 0.0


KERNEL, VALUE = "kernel, value + partials", "kernel, value"
TORCH, JAX, AUTOGRAD = "fwddiff in PyTorch", "fwddiff in JAX", "fwddiff in autograd"
SMALL = "n = 1 000"
SPARSE, RADAU = "fwddiff, sparse", "Radau, fwddiff"
FIRST, NUMBA = "fwddiff", ("numba.njit",)

DUALS_ARE_ARITHMETIC = (
    "the function is sums and products alone: one of duals with 4 partials takes five to nine operations "
    "instead of one, and no transcendental function, division or memory traffic hides them."
)
PYTHON_NODES = (
    "a node of PyTorch that is written in Python, empty, and `sum` take 0.95 of the formula's time together; "
    "the kernels are a twentieth of it. `.sum` needs one node less."
)
AUTOGRAD_NODES = (
    "in autograd an empty primitive and `sum` take 0.6 of the formula's time together; the kernels are a "
    "twentieth of it."
)
MORE_ARRAYS = (
    "one pass writes an array for the value and one for each partial, where that of the value writes one: "
    "what is above the ratio of the arithmetic is their way to memory."
)
ONE_CALL = (
    "an FFI call compiled by `jax.jit` takes some 6 µs before the kernel does anything; the whole formula, "
    "fused by XLA, takes two to three times that."
)
CACHED = (
    "at 512² arrays stay in the processor's cache, where eager operations are at their best: C on two "
    "threads would take a third of the eager time. At 1024² it was 0.25 where these two alone were compared; "
    "among all contestants, caches are cold."
)
CHUNKS = (
    "one pass for each dozen of partials, each of which repeats the value; the rest is the call in "
    "Python. XLA has one compiled call that uses every intermediate value once."
)

MATRIX_PRODUCTS = (
    "`products alone` shows what a step takes whose pointwise part costs nothing: 0.81 to 0.89 of the eager "
    "cell's time. What is left to gain is a tenth, and the cotangents of the gates are copied once more."
)
GATES_ARE_KEPT = (
    "the backward pass needs the gates and states themselves, unless matrix products are repeated: 6 arrays "
    "a step of an LSTM where the eager cell keeps 7, 7 of a GRU where it keeps 8."
)

TARGETS = [
    *[
        Target(letter, "value + partials / value", KERNEL, (VALUE,), 1.6, note=MORE_ARRAYS)
        for letter in "abde"
    ],
    Target("f", "value + partials / value", KERNEL, (VALUE,), 1.6, note=DUALS_ARE_ARITHMETIC),
    *[
        Target("c", "value + partials / value", KERNEL, (VALUE,), 1.6, f"arity {n}", note=MORE_ARRAYS)
        for n in (1, 2, 3, 4)
    ],
    Target("a", "kernel / C", KERNEL, ("C",), 1.3),
    Target(
        "a", "PyTorch / torch.distributions", TORCH, ("torch.distributions",), 0.5, SMALL, note=PYTHON_NODES
    ),
    Target("a", "PyTorch / torch formula", TORCH, ("torch formula",), 0.8, SMALL, note=PYTHON_NODES),
    Target("a", "JAX / jnp formula", JAX, ("jnp formula",), 0.5, SMALL, note=ONE_CALL),
    Target("b", "kernel / C", "kernel, pullback", ("C",), 1.6),
    Target("b", "whole / PyTorch eager", TORCH, ("torch eager",), 0.3, note=CACHED),
    Target("b", "whole / torch.compile", TORCH, ("torch.compile",), 0.9, note=CACHED),
    Target("b", "whole / jax.jit", JAX, ("jnp formula",), 0.9, note=CACHED),
    Target(
        "d",
        "time / best peer",
        JAX,
        ("jax fixed steps", "jax fixed steps, checkpoint", "jax forward mode", "torch masked", "Warp"),
        0.3,
    ),
    Target("d", "time / derivative by hand", JAX, ("jax implicit",), 0.3),
    Target("e", "value + gradient / numpy.sum", KERNEL, ("numpy.sum",), 2.5),
    Target("f", "time / best peer", JAX, ("jax scan", "jax scan, checkpoint", "torch eager"), 0.5),
    Target("f", "memory / PyTorch eager", TORCH, ("torch eager",), 0.02, metric="memory"),
    Target("f", "memory / its own arrays", TORCH, ("the arrays alone",), 1.5, metric="memory"),
    Target("g", "NumPy / HIPS autograd", "fwddiff", ("autograd",), 0.1, "n = 100", note=CHUNKS),
    Target("g", "NumPy / jax.jit", "fwddiff", ("jax.jit",), 1.0, "n = 100", note=CHUNKS),
    Target("h", "step / PyTorch eager cell", TORCH, ("torch eager cell",), 0.8, note=MATRIX_PRODUCTS),
    Target(
        "h",
        "memory / PyTorch eager cell",
        TORCH,
        ("torch eager cell",),
        0.5,
        metric="memory",
        note=GATES_ARE_KEPT,
    ),
    Target("i", "PyTorch / torch formula", TORCH, ("torch formula",), 0.8, note=PYTHON_NODES),
    Target("i", "PyTorch / torch.distributions", TORCH, ("torch.distributions",), 0.5, note=PYTHON_NODES),
    Target("i", "JAX / jnp formula", JAX, ("jnp formula",), 0.5, note=ONE_CALL),
    Target("i", "HIPS autograd / its own", AUTOGRAD, ("autograd formula",), 0.6, note=AUTOGRAD_NODES),
    Target("j", "value + gradient / (2 numba.njit + 0.25 s)", FIRST, NUMBA, 2, "compiling", more=0.25),
    *[
        Target("j", f"{ours} / (3 numba.njit + 0.3 s)", ours, NUMBA, 3, "compiling", more=0.3)
        for ours in (f"{FIRST}, second order", f"{TORCH}, second order")
    ],
    *[
        Target("j", f"seconds of {ours}", ours, (), 5.0, "product of 16")
        for ours in (f"{FIRST}, second order", f"{TORCH}, second order")
    ],
    Target("j", "seconds of value + gradient", FIRST, (), 3.0, "400 straight lines"),
    Target("j", "seconds from disk", f"{FIRST}, from disk", (), 0.05, "compiling"),
    *[
        Target("k", f"prepared / {peer}", "fwddiff prepared", (peer,), limit)
        for peer, limit in (("jax.jit", 1.2), ("autograd", 0.1), ("approx_fprime", 1 / 3))
    ],
    *[
        Target("k", "prepared / (kernel + 3 µs)", "fwddiff prepared", ("kernel",), 1, name, more=3e-6)
        for name in ("Rosenbrock", "Ackley")
    ],
    Target(
        "p", "all gradients / JAX's by x alone", JAX, ("jax, by x alone",), 2.0, "incomplete beta function"
    ),
    Target(
        "p",
        "by the shape / PyTorch, differences",
        TORCH,
        ("torch.special, differences",),
        0.5,
        "gamma cdf by its shape",
    ),
    Target("p", "PyTorch / torch.distributions", TORCH, ("torch.distributions",), 1.0, "normal log-density"),
    Target(
        "p",
        "PyTorch / torch.distributions",
        TORCH,
        ("torch.distributions",),
        0.5,
        "Student-t log-density",
    ),
    Target("s", "sparse / dense", SPARSE, ("fwddiff, dense",), 0.05, "Brusselator's Jacobian, 64 × 64"),
    *[
        Target("s", "sparse / grouped differences", SPARSE, ("SciPy, grouped differences",), 0.2, where)
        for where in ("Brusselator's Jacobian", "optimal control, Jacobian")
    ],
    *[
        Target("s", f"Radau / SciPy's{how}", RADAU, (f"Radau, SciPy{how}",), 1.0, "Brusselator by Radau")
        for how in ("", " with jac_sparsity")
    ],
]


@dataclass(frozen=True)
class Verdict:
    """A target and the ratio found in one case (`None` where one side was not measured), which may be
    `limit`."""

    target: Target
    size: str
    ratio: float | None
    limit: float

    @property
    def met(self) -> bool:
        return self.ratio is not None and self.ratio <= self.limit

    @property
    def status(self) -> str:
        """ "met", "missed by 1.20 ×" or "not measured"."""
        if self.ratio is None:
            return "not measured"
        return "met" if self.met else f"missed by {self.ratio / self.limit:.2f} ×"


def verdicts(results: Results, targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """One verdict per target and case that it is about."""
    return [
        Verdict(target, f"{case.title}, {case.size}", *_ratio(target, measurements))
        for target in sorted(targets, key=lambda target: target.letter)
        for case, measurements in results
        if case.letter == target.letter and _about(target, case)
    ]


def _about(target: Target, case: Case) -> bool:
    """`n = 1 000` is not about `n = 1 000 000`."""
    return not target.where or f"{target.where}," in f"{case.title}, {case.size},"


def _ratio(target: Target, measurements: Sequence[Measurement]) -> tuple[float | None, float]:
    """What was found, and what it may be."""
    amounts = {m.contestant: _amount(m, target.metric) for m in measurements}
    theirs = [amount for name in target.theirs if (amount := amounts.get(name)) is not None]
    ours = amounts.get(target.ours)
    if not target.theirs:
        return ours, target.limit
    if not theirs:
        return None, target.limit
    return ours and ours / min(theirs), target.limit + target.more / min(theirs)


def _amount(measurement: Measurement, metric: str) -> float | None:
    if metric == "memory":
        return measurement.peak_memory
    return measurement.typical if measurement.seconds else None
