"""How a call reaches machine code, and what happens where there is none, or where it fails."""

import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from fwddiff import _rule
from fwddiff._errors import HostError, ShapeError
from fwddiff.hosts import jax as host
from fwddiff.hosts.jax import kernels, lowering
from support.compiled_rule import compiled_rule
from support.symbolic_rule import symbolic_rule

X = np.linspace(0.1, 0.9, 4)


def call(rule):
    return lambda *leaves: host.apply(rule, leaves)[0]


def program(rule, *arguments):
    return jax.jit(call(rule)).lower(*arguments).as_text()


def test_machine_code_is_a_custom_call_and_the_rest_calls_python():
    assert lowering.TARGET in program(compiled_rule("x", "x**2"), X)
    text = program(symbolic_rule("x", "x**2"), X)
    assert lowering.TARGET not in text
    assert "callback" in text


def test_programs_hold_no_addresses():
    rule = compiled_rule("x", "x**2")
    text = program(rule, X)
    assert str(rule.native([X.shape]).address) not in text


def test_unknown_version_calls_python_and_warns_once(monkeypatch):
    monkeypatch.setattr(jax, "__version__", "0.99.0")
    rule = compiled_rule("x", "x**2")
    with pytest.warns(RuntimeWarning, match=r"0\.99\.0 is not one of the versions"):
        np.testing.assert_allclose(jax.jit(call(rule))(X), X**2)
    np.testing.assert_allclose(jax.jit(jax.grad(lambda x: call(rule)(x).sum()))(X), 2 * X)
    assert rule.calls == {}
    assert rule.evaluations == ["f", "pullback(f, 0)"]


def test_the_users_exception_arrives_from_eager_calls():
    rule = compiled_rule("x", "x**2", failing=True)
    with pytest.raises(ZeroDivisionError, match="the user's own message"):
        call(rule)(jnp.asarray(X))
    with pytest.raises(ZeroDivisionError, match="the user's own message"):
        jax.grad(lambda x: call(rule)(x).sum())(X)


def test_an_exception_inside_jit_is_a_runtime_error_with_its_type_and_message():
    rule = compiled_rule("x", "x**2", failing=True, name="logpdf")
    message = r"ZeroDivisionError: the user's own message \(raised in logpdf"
    with pytest.raises(jax.errors.JaxRuntimeError, match=message):
        jax.block_until_ready(jax.jit(call(rule))(X))
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"raised in pullback\(logpdf"):
        jax.block_until_ready(jax.jit(lambda x: jax.vjp(call(rule), x)[1](x))(X))


def test_a_status_without_an_exception_is_told(monkeypatch):
    rule = compiled_rule("x", "x**2 + 1", failing=True, name="logpdf")
    monkeypatch.setattr(type(rule), "__call__", lambda self, arrays, batch_ndim=0: ())
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"logpdf raised .*, but not when called again"):
        jax.block_until_ready(jax.jit(call(rule))(X))


def test_an_exception_called_back_inside_jit_keeps_its_message():
    def failing(arrays, batch_ndim=0):
        raise ZeroDivisionError("the user's own message")

    rule = symbolic_rule("x", "x**2")
    rule._compute = failing
    with pytest.raises(jax.errors.JaxRuntimeError, match="the user's own message"):
        jax.block_until_ready(jax.jit(call(rule))(X))


def test_a_program_whose_kernel_is_not_loaded_says_so():
    unknown = jax.ffi.ffi_call(lowering.TARGET, jax.ShapeDtypeStruct((4,), jnp.float64))
    assert lowering.handler_registered()
    with pytest.raises(jax.errors.JaxRuntimeError, match="not loaded in this process"):
        jax.block_until_ready(jax.jit(lambda x: unknown(x, key=np.int64(5), layout=np.zeros(1, np.int64)))(X))


def test_more_kernels_than_the_table_had_room_for():
    rule = compiled_rule("x", "3*x**2")
    f = jax.jit(call(rule))
    f(X)
    native = rule.native([X.shape])
    rows = len(kernels._table.rows)
    for i in range(rows):
        kernels.load_kernel(rule, _rule.Native(native.address, native.layout, f"filler {i}", None), 0)
    assert len(kernels._table.rows) > rows
    np.testing.assert_allclose(f(X), 3 * X**2)
    np.testing.assert_allclose(call(compiled_rule("x", "5*x**2"))(jnp.asarray(X)), 5 * X**2)


def test_many_operands():
    names = [f"x{i}" for i in range(40)]
    rule = compiled_rule(" ".join(names), " + ".join(names))
    np.testing.assert_allclose(jax.jit(lambda x: call(rule)(*x))([X] * 40), 40 * X)


@pytest.mark.parametrize("shapes", [((0,), ()), ((3, 0), (3, 1)), ((1, 4), (3, 1)), ((), ())])
@pytest.mark.parametrize("reduce", [None, "sum"])
@pytest.mark.few(shapes=[((3, 0), (3, 1)), ((), ())])
def test_shapes(shapes, reduce):
    rule = compiled_rule("x y", "sin(x)*y", reduce=reduce)
    x, y = (np.linspace(0.1, 1.0, int(np.prod(s))).reshape(s) for s in shapes)
    value, gradient = jax.jit(jax.value_and_grad(lambda x, y: call(rule)(x, y).sum(), (0, 1)))(x, y)
    native = jax.value_and_grad(lambda x, y: (jnp.sin(x) * y).sum(), (0, 1))(x, y)
    np.testing.assert_allclose(value, native[0], rtol=1e-12)
    for found, expected in zip(gradient, native[1], strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_shapes_that_do_not_broadcast():
    with pytest.raises(ShapeError, match="do not broadcast"):
        jax.jit(call(symbolic_rule("x y", "x*y")))(X, np.ones(3))


@pytest.mark.parametrize("make", [compiled_rule, symbolic_rule])
def test_64_bits_in_a_rule_while_jax_has_32(single_precision, make):
    rule = make("x n:int", "sin(x)*n", "n + 1")
    value, integer = jax.jit(lambda x, n: host.apply(rule, [x, n]))(jnp.asarray(X), jnp.arange(4))
    assert (value.dtype, integer.dtype) == (jnp.float32, jnp.int32)
    np.testing.assert_allclose(value, np.sin(X) * np.arange(4), rtol=1e-6)
    np.testing.assert_array_equal(integer, np.arange(4) + 1)
    gradient = jax.grad(lambda x: host.apply(rule, [x, jnp.arange(4)])[0].sum())(jnp.asarray(X))
    np.testing.assert_allclose(gradient, np.cos(X) * np.arange(4), rtol=1e-6)


@pytest.mark.parametrize("mode", ["store", "recompute"])
def test_single_precision_stays_single(mode):
    rule = compiled_rule("x y", "sin(x)*y", dtype=np.float32, mode=mode)
    x = jnp.asarray(X, jnp.float32)
    outputs = jax.value_and_grad(lambda x: (call(rule)(x, np.float32(2)) ** 2).sum())(x)
    assert [y.dtype for y in outputs] == [jnp.float32, jnp.float32]
    np.testing.assert_allclose(outputs[1], 8 * np.sin(X) * np.cos(X), rtol=1e-5)


def test_two_threads():
    rule = compiled_rule("x y", "sin(x)*y", mode="store")
    f = jax.jit(jax.grad(lambda x: (call(rule)(x, x)).sum()))
    expected = np.asarray(f(X))
    wrong = []

    def run():
        wrong.extend(1 for _ in range(1000) if not np.allclose(f(X), expected))

    threads = [threading.Thread(target=run) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert wrong == []
    assert rule.calls["partials(f, 0, 1)"] > 1900  # two threads may count the same call once


def test_large_arrays_called_back():
    rule = symbolic_rule("x", "x**2")
    x = np.ones(2_000_000)
    assert float(jax.jit(lambda x: call(rule)(x).sum())(x)) == 2_000_000


def test_exported_programs_can_be_called():
    f = jax.jit(jax.grad(lambda x: call(compiled_rule("x", "sin(x)**2"))(x).sum()))
    allowed = [export.DisabledSafetyCheck.custom_call(lowering.TARGET)]
    exported = export.export(f, disabled_checks=allowed)(jax.ShapeDtypeStruct((4,), jnp.float64))
    np.testing.assert_allclose(exported.call(X), np.sin(2 * X))


def test_symbolic_dimensions_are_refused():
    n = jax.ShapeDtypeStruct(export.symbolic_shape("n"), jnp.float64)
    with pytest.raises(HostError, match="symbolic shape"):
        export.export(jax.jit(call(compiled_rule("x", "x**2"))))(n)


def test_other_platforms_are_refused():
    exporting = export.export(jax.jit(call(compiled_rule("x", "x**2"))), platforms=["cuda"])
    with pytest.raises(HostError, match=r"runs on CPUs; .*cuda"):
        exporting(jax.ShapeDtypeStruct((4,), jnp.float64))


@pytest.mark.slow
def test_jax_still_works_after_a_refused_handler():
    """In a new process, whose backend does not exist yet: an unknown JAX must not be touched."""
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import jax; jax.__version__ = '1.0.0'\n"
        "from fwddiff import fwddiff\n"
        "import jax.numpy as jnp\n"
        "print(float(jax.jit(fwddiff(lambda x: x * x))(jnp.float32(3.0))), float(jnp.sin(0.0)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["9.0", "0.0"]
