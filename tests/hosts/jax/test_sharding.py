"""Several devices, in a process of its own: each runs the kernel on its part, and nothing is gathered.

Programs are compared with those of the same functions in `jax.numpy`: values, shardings, and the numbers of
collective operations in the compiled HLO.
"""

import jax
import pytest

from hosts.jax.processes import run

PREAMBLE = """
import re, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from fwddiff import fwddiff
from fwddiff.hosts import jax as host

jax.config.update("jax_enable_x64", True)

def count(program):
    text = program.as_text()
    return {k: len(re.findall(rf" {k}(?:-start)?\\(", text)) for k in ("all-gather", "all-reduce")}

def compare(name, transform, function, native, x, y, gathers=0):
    program, reference = (jax.jit(transform(f)).lower(x, y).compile() for f in (function, native))
    found, expected = program(x, y), reference(x, y)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13, err_msg=name)
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim), (name, a.sharding, b.sharding)
    own, others = count(program), count(reference)
    assert own["all-gather"] <= min(gathers, others["all-gather"]), (name, own, others)
    assert own["all-reduce"] <= others["all-reduce"], (name, own, others)
    assert "fwddiff_kernel" in program.as_text()
    print(name, own)
"""

PLAIN = (
    PREAMBLE
    + """
import math
kind, mode, layout = sys.argv[1], sys.argv[2], sys.argv[3]
types = {}
if hasattr(jax.sharding, "AxisType"):
    types = dict(axis_types=(getattr(jax.sharding.AxisType, kind),) * 2)
mesh = jax.make_mesh((4, 2), ("i", "j"), **types)
random = np.random.default_rng(0)
LAYOUTS = {
    "rows": ([(8, 6), "i"], [(8, 6), "i"]),
    "both axes": ([(8, 6), "i", "j"], [(8, 6), "i", "j"]),
    "two mesh axes on one": ([(16, 3), ("i", "j")], [(16, 3), ("i", "j")]),
    "scalar": ([(8,), "i"], [()]),
    "row": ([(8, 6), "i", "j"], [(6,), "j"]),
    "column and row": ([(8, 1), "i"], [(6,), "j"]),
    "replicated": ([(8, 6), "i"], [(6,)]),
    "rows, replicated rows": ([(8, 6), "i"], [(8, 6)]),
}
x, y = (
    jax.device_put(random.uniform(0.2, 1.2, shape), NamedSharding(mesh, P(*spec)))
    for shape, *spec in LAYOUTS[layout]
)
wrapped = fwddiff(lambda x, y: math.sin(x) * y + math.exp(x * y), mode=mode)
native = lambda x, y: jnp.sin(x) * y + jnp.exp(x * y)
twice = lambda x, y: 2.0 * jnp.ones(jnp.broadcast_shapes(x.shape, y.shape))
CASES = {
    "value": lambda f: f,
    "pullback": lambda f: lambda x, y: jax.vjp(f, x, y)[1](twice(x, y)),
    "value_and_grad": lambda f: jax.value_and_grad(lambda x, y: f(x, y).sum(), (0, 1)),
    "jvp": lambda f: lambda x, y: jax.jvp(f, (x, y), (x, y)),
    "hvp": lambda f: lambda x, y: jax.jvp(jax.grad(lambda x: f(x, y).sum()), (x,), (x,)),
    "vmap(grad)": lambda f: lambda x, y: jax.vmap(jax.grad(lambda x, y: f(x, y).sum(), (0, 1)), (None, 0))(
        x, jnp.stack([y, y + 1])
    ),
}
# The cotangent of a whole array is a whole array: where divisions are types, native programs gather it too.
gathers = 2 if layout == "rows, replicated rows" else 0
for name, transform in CASES.items():
    compare(name, transform, wrapped.broadcast, native, x, y, gathers)
total = lambda f: jax.value_and_grad(lambda x, y: f(x, y) ** 2, (0, 1))
compare("sum", total, wrapped.sum, lambda x, y: native(x, y).sum(), x, y, gathers)
"""
)

KINDS = ["Auto", "Explicit"] if hasattr(jax, "shard_map") else ["Auto"]


@pytest.mark.parametrize(
    ("kind", "mode", "layout"),
    [
        ("Auto", "store", "both axes"),
        pytest.param("Auto", "recompute", "row", marks=pytest.mark.slow),
        pytest.param("Auto", "store", "scalar", marks=pytest.mark.slow),
        pytest.param("Auto", "recompute", "column and row", marks=pytest.mark.slow),
        pytest.param("Auto", "auto", "two mesh axes on one", marks=pytest.mark.slow),
        pytest.param("Explicit", "store", "rows", marks=pytest.mark.slow),
        pytest.param("Explicit", "recompute", "replicated", marks=pytest.mark.slow),
        pytest.param("Explicit", "recompute", "rows, replicated rows", marks=pytest.mark.slow),
    ],
)
def test_plain_jit_over_eight_devices_gathers_nothing(kind, mode, layout):
    if kind not in KINDS:
        kind, layout = "Auto", "replicated"
    assert len(run(PLAIN, kind, mode, layout, devices=8).splitlines()) == 7


WITHOUT_EQUAL_PARTS = (
    PREAMBLE
    + """
types = {}
if hasattr(jax.sharding, "AxisType"):
    types = dict(axis_types=(jax.sharding.AxisType.Auto,))
mesh = jax.make_mesh((4,), ("i",), **types)

@fwddiff
def inverse(x, y):
    if x == 0.0:
        raise ZeroDivisionError("padding was computed")
    return y / x

x = jax.device_put(jnp.arange(1.0, 9.0), NamedSharding(mesh, P("i")))
y = jnp.float64(2.0)
f, native = lambda x, y: inverse.sum(x[:6], y), lambda x, y: (y / x[:6]).sum()
found, expected = (jax.jit(jax.value_and_grad(g, (0, 1)))(x, y) for g in (f, native))
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, expected)

line = fwddiff(lambda m, s: m[0] * s + m[1])
m = jax.device_put(jnp.arange(16.0).reshape(8, 2), NamedSharding(mesh, P("i")))
s = jnp.arange(8.0)
program = jax.jit(jax.grad(lambda m: line.broadcast(m, s, signature="(n),()->()").sum())).lower(m).compile()
np.testing.assert_allclose(program(m), np.stack([s, np.ones(8)], 1))
assert count(program)["all-gather"] == 0

ends = fwddiff(lambda v: v[0] * v[3])
rows = jax.device_put(jnp.arange(1.0, 9.0).reshape(2, 4), NamedSharding(mesh, P(None, "i")))
found = jax.jit(jax.grad(lambda v: ends.broadcast(v, signature="(n)->()").sum()))(rows)
np.testing.assert_allclose(found, [[4, 0, 0, 1], [8, 0, 0, 5]])
print("done")
"""
)


def test_parts_that_are_not_equal_and_axes_that_are_not_of_the_loop():
    assert run(WITHOUT_EQUAL_PARTS, "", devices=4) == "done\n"


SHARD_MAP = (
    PREAMBLE
    + """
try:
    from jax import shard_map  # jax 0.6.1
except ImportError:
    from jax.experimental.shard_map import shard_map
from support.compiled_rule import compiled_rule
from support.symbolic_rule import symbolic_rule

types = {}
if hasattr(jax.sharding, "AxisType"):
    types = dict(axis_types=(jax.sharding.AxisType.Auto,))
mesh = jax.make_mesh((2,), ("i",), **types)
x = jax.device_put(jnp.arange(16.0).reshape(8, 2) / 16, NamedSharding(mesh, P("i")))
y = jnp.array([0.3, 0.4])

def native(x, y):
    return jnp.sin(x) * y

def sharded(f):
    return shard_map(f, mesh=mesh, in_specs=(P("i"), P()), out_specs=P("i"))

def mean_gradient(f):
    inner = jax.grad(lambda x, y: jax.lax.psum(f(x, y).sum(), "i"), (0, 1))
    return shard_map(inner, mesh=mesh, in_specs=(P("i"), P()), out_specs=(P("i"), P()))

CASES = {
    "value": sharded,
    "grad(shard_map)": lambda f: jax.grad(lambda x, y: (sharded(f)(x, y) ** 2).sum(), (0, 1)),
    "jvp(shard_map)": lambda f: lambda x, y: jax.jvp(sharded(f), (x, y), (x, y))[1],
    "hessian(shard_map)": lambda f: jax.hessian(lambda x, y: sharded(f)(x, y).sum(), (0, 1)),
    "vmap(shard_map)": lambda f: lambda x, y: jax.vmap(sharded(f), (None, 0))(x, jnp.stack([y, 2 * y])),
    "shard_map(grad)": mean_gradient,
}
make = {"compiled": compiled_rule, "called_back": symbolic_rule}[sys.argv[1]]
rule = make("x y", "sin(x)*y", mode=sys.argv[2])
for name, transform in CASES.items():
    if name == "hessian(shard_map)" and jax.__version__.startswith("0.8"):
        print(name, "fails for native functions too")
        continue
    program = jax.jit(transform(lambda x, y: host.apply(rule, [x, y])[0])).lower(x, y).compile()
    reference = jax.jit(transform(native)).lower(x, y).compile()
    found, expected = program(x, y), reference(x, y)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14), found, expected)
    if name != "hessian(shard_map)":
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert a.sharding.is_equivalent_to(b.sharding, a.ndim), (name, a.sharding, b.sharding)
    assert "all-gather" not in program.as_text() or "all-gather" in reference.as_text(), name
    print(name)
whole = jax.jit(lambda x, y: host.apply(rule, [x, y])[0])
np.testing.assert_allclose(whole(x, y), native(x, y), rtol=1e-12)
print("arrays in parts, without shard_map")
"""
)


@pytest.mark.parametrize(
    ("rule", "mode"),
    [
        ("compiled", "store"),
        pytest.param("compiled", "recompute", marks=pytest.mark.slow),
        pytest.param("called_back", "store", marks=pytest.mark.slow),
    ],
)
def test_shard_map_over_two_devices(rule, mode):
    assert len(run(SHARD_MAP, rule, mode, devices=2).splitlines()) == 7


SEVERAL_AT_ONCE = """
import math, threading
import jax, jax.numpy as jnp, numpy as np
from fwddiff import fwddiff
jax.config.update("jax_enable_x64", True)
wave = fwddiff(lambda x, y: math.sin(x) * y)
f = jax.jit(jax.grad(lambda x, y: wave.sum(x, y), (0, 1)))
x = np.linspace(0.1, 1.0, 300_000)  # large enough for threads of our own
wrong = []

def run(device, scale):
    own = jax.device_put(x * scale, device)
    for _ in range(20):
        x_bar, y_bar = f(own, jax.device_put(2.0, device))
        assert x_bar.devices() == {device}
        if not (np.allclose(x_bar, 2 * np.cos(x * scale)) and np.allclose(y_bar, np.sin(x * scale).sum())):
            wrong.append(device)

threads = [threading.Thread(target=run, args=(d, 1 + k)) for k, d in enumerate(jax.devices())]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(threads) == 4 and not wrong, wrong
print("done")
"""


@pytest.mark.slow
def test_several_devices_at_once():
    assert run(SEVERAL_AT_ONCE, devices=4) == "done\n"
