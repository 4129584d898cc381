"""Several devices, in a process of its own: `shard_map` runs the kernel on the part that each one has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import jax, jax.numpy as jnp, numpy as np
try:
    from jax import shard_map  # jax 0.6.1
except ImportError:
    from jax.experimental.shard_map import shard_map
from jax.sharding import NamedSharding, PartitionSpec as P
from support.compiled_rule import compiled_rule
from support.symbolic_rule import symbolic_rule
from fwddiff.hosts import jax as host

jax.config.update("jax_enable_x64", True)
mesh = jax.make_mesh((2,), ("i",))
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


@pytest.mark.parametrize(
    ("rule", "mode"), [("compiled", "store"), ("compiled", "recompute"), ("called_back", "store")]
)
def test_two_devices(rule, mode):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, rule, mode], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 7
