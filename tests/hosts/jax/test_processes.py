"""Compiled programs that outlive their process: `jax.export` and JAX's compilation cache."""

import re

import pytest

from hosts.jax.processes import run

FUNCTIONS = """
import math, sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)

def functions():
    from fwddiff import fwddiff

    def wave(x, y):
        if x > 5.0:
            raise ValueError("x is too large")
        return math.sin(x) * y

    g = fwddiff(wave)
    return g.broadcast, jax.value_and_grad(lambda x, y: (g.broadcast(x, y) ** 2).sum(), (0, 1))

shapes = jax.ShapeDtypeStruct((5,), jnp.float64), jax.ShapeDtypeStruct((), jnp.float64)
X, Y = np.linspace(0.1, 0.9, 5), 2.0
"""

SAVE = (
    FUNCTIONS
    + """
from pathlib import Path
from jax import export
from fwddiff.hosts.jax.lowering import TARGET
for k, f in enumerate(functions()):
    allowed = [export.DisabledSafetyCheck.custom_call(TARGET)]
    content = export.export(jax.jit(f), disabled_checks=allowed)(*shapes).serialize(vjp_order=k)
    Path(sys.argv[1], str(k)).write_bytes(content)
"""
)

LOAD = (
    FUNCTIONS
    + """
from pathlib import Path
from jax import export
if sys.argv[2] == "functions":
    for f in functions():
        jax.jit(f).lower(*shapes)
else:
    import fwddiff.hosts.jax.exported
value, pair = (export.deserialize(Path(sys.argv[1], k).read_bytes()) for k in "01")
try:
    np.testing.assert_allclose(value.call(X, Y), np.sin(X) * Y, rtol=1e-14)
    total, (x_bar, y_bar) = pair.call(X, Y)
    np.testing.assert_allclose(x_bar, 2 * Y**2 * np.sin(X) * np.cos(X), rtol=1e-13)
    np.testing.assert_allclose(y_bar, (2 * Y * np.sin(X) ** 2).sum(), rtol=1e-13)
    if sys.argv[2] == "kernels":  # else those of the second order have not been lowered here
        x_bar = pair.vjp().call(X, Y, jnp.float64(1.0), jnp.zeros(5), jnp.float64(0.0))[0]
        np.testing.assert_allclose(x_bar, 2 * Y**2 * np.sin(X) * np.cos(X), rtol=1e-13)
    print("right")
    jax.block_until_ready(value.call(10 * X, Y))
except Exception as error:
    print(type(error).__name__, error)
"""
)


@pytest.mark.parametrize(
    ("loading", "folder", "expected"),
    [
        ("kernels", "kept", "wave raised an exception in its compiled kernel"),
        ("functions", "off", "ValueError: x is too large"),
        ("kernels", "off", "of wave that is not loaded in this process.* Call"),
    ],
)
@pytest.mark.few(folder=["kept"])
def test_exported_programs_in_a_new_process(loading, folder, expected, tmp_path):
    kept = "off" if folder == "off" else str(tmp_path / "kernels")
    run(SAVE, tmp_path, FWDDIFF_CACHE_DIR=kept)
    found = run(LOAD, tmp_path, loading, FWDDIFF_CACHE_DIR=kept).splitlines()
    text = " ".join(found)
    assert re.search(expected, text), text
    assert (found[0] == "right") == ("not loaded" not in expected)


CACHED = """
import math, sys
import jax, jax.numpy as jnp, numpy as np
from jax._src import monitoring
from fwddiff import fwddiff
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
# Else JAX keeps no program that is divided by Python: it would hold an address of its process.
jax.config.update("jax_remove_custom_partitioning_ptr_from_cache_key", True)
events = []
monitoring.register_event_listener(lambda event, **_: events.append(event.rpartition("/")[2]))
name = sys.argv[2]
wrapped = fwddiff(eval(f"lambda x, y: math.{name}(x) * y"))
f = jax.jit(jax.value_and_grad(lambda x, y: wrapped.broadcast(x, y).sum(), (0, 1)))
mesh = jax.make_mesh((len(jax.devices()),), ("i",))
whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i"))
x = jax.device_put(np.linspace(0.1, 0.9, 16), whole)
events.clear()
value, (x_bar, y_bar) = f(x, jnp.float64(2.0))
primal, slope = {"sin": (np.sin, np.cos), "cos": (np.cos, lambda x: -np.sin(x))}[name]
np.testing.assert_allclose(x_bar, 2 * slope(x), rtol=1e-13)
np.testing.assert_allclose(y_bar, primal(x).sum(), rtol=1e-13)
print("hit" if "cache_hits" in events else "miss")
"""


@pytest.mark.parametrize(
    ("folder", "devices"),
    [
        pytest.param("kept", 1, marks=pytest.mark.slow),
        pytest.param("off", 4, marks=pytest.mark.slow),
        pytest.param("kept", 4, marks=pytest.mark.slow),
        pytest.param("off", 1, marks=pytest.mark.slow),
    ],
)
def test_programs_from_the_compilation_cache_find_their_kernels(devices, folder, tmp_path):
    kept = "off" if folder == "off" else str(tmp_path / "kernels")
    arguments = tmp_path / "programs", "sin"
    first, second = (run(CACHED, *arguments, devices=devices, FWDDIFF_CACHE_DIR=kept) for _ in range(2))
    assert (first, second) == ("miss\n", "hit\n")


def test_the_compilation_cache_does_not_take_one_function_for_another(tmp_path):
    for name in ("sin", "cos"):
        run(CACHED, tmp_path / "programs", name, devices=4, FWDDIFF_CACHE_DIR=str(tmp_path / "kernels"))
