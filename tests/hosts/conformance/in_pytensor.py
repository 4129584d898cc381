"""What PyTensor's users do with an operation: each transformation takes a function of variables, builds a
graph, compiles and runs it."""

from __future__ import annotations

import pickle
import types

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor import gradient
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.ifelse import ifelse
from pytensor.scan.checkpoints import scan_checkpoints

NAMESPACE = types.SimpleNamespace(
    sin=pt.sin,
    cos=pt.cos,
    exp=pt.exp,
    log=pt.log,
    tanh=pt.tanh,
    where=pt.where,
    sum=pt.sum,
    length=lambda array: array.type.shape[0] or 3,
)

# Run by NumPy: compilers would take seconds per cell. NumPy cannot run PyTensor's own loops of many operands.
FUSED = Mode("py", "fast_run")
PYTHON = FUSED.excluding("fusion")
MODES = {
    "loops fused": FUSED,
    "FAST_COMPILE": "FAST_COMPILE",
    "Numba": "NUMBA",
    "Numba, loops not fused": get_mode("NUMBA").excluding("fusion"),
    "C": "CVM",
}


def arrays(points):
    return points


def variables(xs, static=False):
    """Unknown sizes; PyTensor has to know those of one."""
    shapes = [[n if static or n == 1 else None for n in x.shape] for x in xs]
    return [pt.tensor(dtype=x.dtype, shape=shape) for x, shape in zip(xs, shapes, strict=True)]


def evaluated(build, xs, mode=PYTHON, static=False):
    """`build` makes a list of outputs of variables."""
    inputs = variables(xs, static)
    return pytensor.function(inputs, build(*inputs), mode=mode, on_unused_input="ignore")(*xs)


def evenly(low, high, x):
    """Numbers from low to high of the shape and dtype of the variable `x`."""
    steps = pt.arange(x.size) / pt.maximum(x.size - 1, 1)
    return (low + (high - low) * steps).astype(x.dtype).reshape(x.shape, ndim=x.ndim)


def weighted(f):
    def scalar(*xs):
        out = f(*xs)
        return (out * evenly(0.5, 1.5, out)).sum()

    return scalar


def gradients(f, inputs):
    return pytensor.grad(weighted(f)(*inputs), list(inputs), disconnected_inputs="ignore")


def tangents(inputs):
    return [evenly(-1.0, 1.0, x) for x in inputs]


def in_mode(mode):
    def run(f, xs):
        return evaluated(lambda *ys: [f(*ys), *gradients(f, ys)], xs, MODES[mode])

    return run


def gradient_of_one(k):
    return lambda f, xs: evaluated(lambda *ys: [pytensor.grad(weighted(f)(*ys), ys[k])], xs)


def pullback(f, xs):
    def build(*ys):
        out = f(*ys)
        return gradient.Lop(out, list(ys), evenly(0.5, 1.5, out))

    return evaluated(build, xs)


def pushforward(f, xs, **options):
    return evaluated(lambda *ys: [gradient.Rop(f(*ys), list(ys), tangents(ys), **options)], xs)


def forward_over_reverse(f, xs):
    return evaluated(lambda *ys: gradient.Rop(gradients(f, ys), list(ys), tangents(ys)), xs)


def second_order(f, xs):
    def build(*ys):
        total = sum((g**2).sum() for g in gradients(f, ys))
        return pytensor.grad(total, list(ys), disconnected_inputs="ignore")

    return evaluated(build, xs)


def third_order(f, xs):
    def build(a, b):
        first = pytensor.grad(weighted(f)(a, b), a)
        second = pytensor.grad(first.sum(), b)
        return pytensor.grad((second**2).sum(), [a, b], disconnected_inputs="ignore")

    return evaluated(build, xs)


def jacobian(f, xs, **options):
    def build(*ys):
        return gradient.jacobian(f(*ys).reshape((-1,)), list(ys), disconnected_inputs="ignore", **options)

    return evaluated(build, xs)


def of_vectors(f, xs):
    """`f` of flat variables, as PyTensor's Hessians take them, and the flat arrays."""
    return lambda *ys: f(*[y.reshape(x.shape) for x, y in zip(xs, ys, strict=True)]), [x.ravel() for x in xs]


def hessian(f, xs):
    flat, points = of_vectors(f, xs)
    return evaluated(lambda *ys: gradient.hessian(weighted(flat)(*ys), list(ys)), points)


def hessian_vector(f, xs):
    flat, points = of_vectors(f, xs)

    def build(*ys):
        return gradient.hessian_vector_product(weighted(flat)(*ys), list(ys), tangents(ys))

    return evaluated(build, points)


def batches(xs):
    return [np.stack([x, x * 1.1, x * 0.9]).astype(x.dtype) for x in xs]


def vectorized(build, xs, batched=(0, 1)):
    """The graph that `build` makes of single variables, for several values of some of them."""
    points = [batches(xs)[k] if k in batched else x for k, x in enumerate(xs)]
    single, many = variables(xs), variables(points)
    replaced = {single[k]: many[k] for k in batched}
    inputs = [replaced.get(x, x) for x in single]
    return pytensor.function(inputs, vectorize_graph(build(*single), replaced), mode=PYTHON)(*points)


def gradient_of_vectorized(f, xs):
    single = variables(xs)
    out = f(*single)

    def many(*ys):
        return vectorize_graph(out, dict(zip(single, ys, strict=True)))

    return evaluated(lambda *ys: gradients(many, ys), batches(xs))


def recurrence(f, scan=pytensor.scan, **options):
    """The sum of the states s ← s / 2 + f(a s, b), all of it in one scan."""

    def step(state, *ys):
        return (state / 2 + f(ys[0] * state, ys[1]).mean()).astype(state.dtype)

    def total(*ys):
        start = pt.constant(1.0, dtype=ys[0].dtype)
        return scan(
            step, outputs_info=[start], non_sequences=list(ys), n_steps=4, return_updates=False, **options
        ).sum()

    return total


def scanned(f, xs):
    total = recurrence(f)
    return evaluated(lambda *ys: [total(*ys), *pytensor.grad(total(*ys), list(ys))], xs)


def checkpointed(f, xs):
    total = recurrence(f, scan_checkpoints, save_every_N=2)
    return evaluated(lambda *ys: pytensor.grad(total(*ys), list(ys)), xs)


def in_branch(f, xs):
    def chosen(*ys):
        return ifelse(ys[0].sum() > 0, weighted(f)(*ys), ys[1].sum())

    return evaluated(lambda *ys: [chosen(*ys), *pytensor.grad(chosen(*ys), list(ys))], xs)


def of_inner_graph(f, xs):
    inner = variables(xs)
    op = OpFromGraph(inner, [f(*inner)])
    return evaluated(lambda *ys: [op(*ys), *gradients(op, ys)], xs)


def cloned(f, xs):
    def build(*ys):
        outputs = [f(*ys), *gradients(f, ys)]
        return clone_replace(outputs, {ys[0]: ys[0] * 2, ys[1]: ys[1] + 1})

    return evaluated(build, xs)


def shapes_only(f, xs):
    return evaluated(lambda *ys: [out.shape for out in (f(*ys), *gradients(f, ys))], xs)


def pickled(f, xs):
    inputs = variables(xs)
    function = pytensor.function(inputs, [f(*inputs), *gradients(f, inputs)], mode=PYTHON)
    return pickle.loads(pickle.dumps(function))(*xs)


def of_shared(f, xs):
    """One step of gradient descent."""
    shared = [pytensor.shared(x, shape=[1 if n == 1 else None for n in x.shape]) for x in xs]
    found = gradients(f, shared)
    updates = [(x, x - (0.1 * g).astype(x.dtype)) for x, g in zip(shared, found, strict=True)]
    value = pytensor.function([], f(*shared), updates=updates, mode=PYTHON)()
    return [value, *(x.get_value() for x in shared)]


def beside_constant(f, xs):
    def build(*ys):
        return [pytensor.grad((f(*ys) * ys[0].sum()).sum(), ys[0], consider_constant=[ys[1]])]

    return evaluated(build, xs)


TRANSFORMATIONS = {
    "value": lambda f, xs: evaluated(lambda *ys: [f(*ys)], xs),
    "grad": lambda f, xs: evaluated(lambda *ys: gradients(f, ys), xs),
    "grad, first argument": gradient_of_one(0),
    "grad, second argument": gradient_of_one(1),
    "grad, static shapes": lambda f, xs: evaluated(lambda *ys: gradients(f, ys), xs, static=True),
    "consider_constant": beside_constant,
    "Lop": pullback,
    "Rop": pushforward,
    "Rop, by R_op": lambda f, xs: pushforward(f, xs, use_op_rop_implementation=True),
    "Rop of grad": forward_over_reverse,
    "grad of grad": second_order,
    "third order": third_order,
    "jacobian": jacobian,
    "jacobian, vectorize": lambda f, xs: jacobian(f, xs, vectorize=True),
    "hessian": hessian,
    "hessian_vector_product": hessian_vector,
    "vectorize_graph": lambda f, xs: vectorized(lambda *ys: [f(*ys)], xs),
    "vectorize_graph, one argument": lambda f, xs: vectorized(lambda *ys: [f(*ys)], xs, batched=(1,)),
    "vectorize_graph of grad": lambda f, xs: vectorized(lambda *ys: gradients(f, ys), xs),
    "grad of vectorize_graph": gradient_of_vectorized,
    "scan": scanned,
    "scan_checkpoints": checkpointed,
    "ifelse": in_branch,
    "OpFromGraph": of_inner_graph,
    "clone_replace": cloned,
    "shapes": shapes_only,
    "shared variables, updates": of_shared,
    "compiled function pickled": pickled,
    **{f"value and grad, {mode}": in_mode(mode) for mode in MODES},
}

FEW, REPRESENTATIVE = 4, ("broadcast", "captured value")  # of the run that docs/conformance.json has
# Every kind of argument in long runs only.
DEAR = ("value and grad, Numba", "value and grad, Numba, loops not fused", "value and grad, C")
