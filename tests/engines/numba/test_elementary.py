"""Elementary functions of our own: at most 2 ulp from the exact value and 4 from the exact slope, for
arguments of all sizes; signs of zero, infinities and nan as C has them; and kernels that go side by side by
them alone.

Everything here is compiled as on a machine without vector math.
"""

import itertools
import math
import types

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest
from mpmath import mpf

import fwddiff as fd
from engines.numba.ssa import remez
from fwddiff import fwddiff
from fwddiff.engines.numba import pipeline, ssa
from fwddiff.engines.numba.cache import _store
from fwddiff.engines.numba.ssa import elementary as bodies
from fwddiff.engines.numba.ssa.elementary import _coefficients
from fwddiff.engines.numba.target import cpu, elementary, vector_math

_numbers = itertools.count()
DTYPES = [np.float64, np.float32]
LARGEST = {"value": 2.0, "slope": 4.0, "second derivative": 8.0}  # ulp


def _log2(x):
    return mpmath.log(x) / mpmath.log(2)


def _sech2(x):
    return 1 / mpmath.cosh(x) ** 2


# Function → exact value, slope and second derivative.
EXACT = {
    "exp": (mpmath.exp,) * 3,
    "exp2": (
        lambda x: mpf(2) ** x,
        lambda x: mpmath.log(2) * mpf(2) ** x,
        lambda x: mpmath.log(2) ** 2 * mpf(2) ** x,
    ),
    "expm1": (mpmath.expm1, mpmath.exp, mpmath.exp),
    "sinh": (mpmath.sinh, mpmath.cosh, mpmath.sinh),
    "cosh": (mpmath.cosh, mpmath.sinh, mpmath.cosh),
    "tanh": (mpmath.tanh, _sech2, lambda x: -2 * mpmath.tanh(x) * _sech2(x)),
    "log": (mpmath.log, lambda x: 1 / x, lambda x: -1 / x**2),
    "log2": (_log2, lambda x: 1 / x / mpmath.log(2), lambda x: -1 / x**2 / mpmath.log(2)),
    "log10": (mpmath.log10, lambda x: 1 / x / mpmath.log(10), lambda x: -1 / x**2 / mpmath.log(10)),
    "log1p": (mpmath.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2),
    "sin": (mpmath.sin, mpmath.cos, lambda x: -mpmath.sin(x)),
    "cos": (mpmath.cos, lambda x: -mpmath.sin(x), lambda x: -mpmath.cos(x)),
}
LOGARITHMS = {"log": 0.0, "log2": 0.0, "log10": 0.0, "log1p": -1.0}  # defined above
# The name of the argument is for these tests: kernels of equal code are shared.
OURS = {
    name: fwddiff(eval(f"lambda own_x: {'np' if name == 'exp2' else 'math'}.{name}(own_x)")) for name in EXACT
}


def forget():
    vector_math.library.cache_clear()
    vector_math.variants.cache_clear()
    elementary.is_own.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def _own():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(vector_math.VARIABLE, "off")
        forget()
        yield
    forget()


def test_every_function_is_tested():
    assert set(EXACT) == bodies.FUNCTIONS
    assert all(elementary.is_own(name, bits) for name in EXACT for bits in (64, 32))


# --- errors -------------------------------------------------------------------------------------------------


def points(name, dtype):
    """All exponents at random; dense where exponentials, logarithms and angles change their reduction."""
    random, bits = np.random.default_rng(5), {np.float64: np.int64, np.float32: np.int32}[dtype]
    everything = random.integers(np.iinfo(bits).min, np.iinfo(bits).max, 300, dtype=bits).view(dtype)
    ends = [s * e for e in (709.78, 745.1, 710.47, 88.72, 103.9, 89.41, 1024, 1075, 20, 40) for s in (1, -1)]
    steps = np.arange(1, 40) * math.log(2) / 2, np.arange(1, 40) * math.pi / 4
    seams = np.concatenate(
        [*steps, *(-s for s in steps), ends, 2.0 ** np.arange(-60, 60, 7), [-0.5, -1 + 1e-7]]
    )
    seams = np.concatenate([seams, [math.sqrt(0.5), math.sqrt(2), math.sqrt(2) - 1, math.sqrt(0.5) - 1]])
    close = (seams[:, None] * (1 + np.array([-3e-7, -2e-16, 0.0, 2e-16, 3e-7]))).ravel()
    near = [random.uniform(-s, s, 60) for s in (1e-9, 0.01, 0.3, 1, 3, 20, 100)]
    with np.errstate(all="ignore"):
        found = np.concatenate([everything, close.astype(dtype), *(n.astype(dtype) for n in near)])
        found = found[np.isfinite(found)]
    return found[found > LOGARITHMS[name]] if name in LOGARITHMS else found


def ulps(found, exact, dtype):
    """Distances in units of the last place of the exact result; where that is beyond the largest number the
    result has to be infinite."""
    info, errors = np.finfo(dtype), []
    top, least = mpf(float(info.max)) * (1 + mpf(2) ** (-info.nmant - 2)), mpf(float(info.smallest_subnormal))
    for f, e in zip(found, exact, strict=True):
        if abs(e) >= top or not np.isfinite(f):
            errors.append(
                0.0 if np.isinf(f) and abs(e) > top * (1 - mpf(2) ** (1 - info.nmant)) else math.inf
            )
            continue
        place = mpmath.floor(mpmath.log(abs(e), 2)) - info.nmant if e else -math.inf
        errors.append(float(abs(mpf(float(f)) - e) / max(mpf(2) ** place, least)))
    return np.array(errors)


def derivatives(name, x):
    """Value, slope and second derivative, by one kernel and by another."""
    once = OURS[name].broadcast.prepare(x).rule.partials((0,))
    value, slope = once([x])
    (second,) = once.pullback((0,))([x, np.zeros_like(x), np.ones_like(x)])
    return value, slope, second


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.every(3)
def test_errors_in_ulp(name, dtype):
    x = points(name, dtype)
    with mpmath.workdps(50):
        arguments = [mpf(float(a)) for a in x]
        for what, exact, found in zip(LARGEST, EXACT[name], derivatives(name, x), strict=True):
            wanted = [exact(a) for a in arguments]
            errors = ulps(found, wanted, dtype)
            if what != "value":  # products of slopes may leave the range of floats before their result does
                tiny, huge = float(np.finfo(dtype).tiny), float(np.finfo(dtype).max)
                errors[[not 64 * tiny < abs(w) < huge / 64 for w in wanted]] = 0.0
            worst = errors.argmax()
            assert errors[worst] <= LARGEST[what], f"{what} at {x[worst]!r}: {found[worst]!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_special_values(name, dtype):
    x = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, -1.0, -2.0], dtype)
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(x)
        smallest = np.array([np.finfo(dtype).smallest_subnormal], dtype)
    found = OURS[name].broadcast(np.tile(x, 5))
    np.testing.assert_allclose(found, np.tile(wanted, 5), rtol=4 * np.finfo(dtype).eps, atol=0)
    ordered = ~np.isnan(np.tile(wanted, 5))
    np.testing.assert_array_equal(np.signbit(found)[ordered], np.signbit(np.tile(wanted, 5))[ordered])
    if name in ("expm1", "sinh", "tanh", "log1p", "sin"):
        for sign in (1, -1):
            np.testing.assert_array_equal(OURS[name].broadcast(sign * smallest), sign * smallest)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_value_beyond_the_limits(dtype):
    x = np.linspace(-30, 30, 200_001).astype(dtype)
    assert np.abs(OURS["tanh"].broadcast(x)).max() == 1
    assert np.abs(OURS["sin"].broadcast(x)).max() <= 1
    assert OURS["expm1"].broadcast(x).min() >= -1
    assert (OURS["exp"].broadcast(30 * x) >= 0).all()


def test_powers_of_two_are_exact():
    k = np.arange(-1074.0, 1024)
    np.testing.assert_array_equal(OURS["exp2"].broadcast(k), [math.ldexp(1.0, int(n)) for n in k])
    np.testing.assert_array_equal(OURS["log2"].broadcast(np.ldexp(1.0, k.astype(int))), k)


def test_huge_angles_are_left_to_the_library():
    x = np.array([2.0**30, np.nextafter(2.0**30, np.inf), 1e22, 1.7e308, 3.0])
    np.testing.assert_allclose(OURS["sin"].broadcast(x), [math.sin(a) for a in x], rtol=4e-16)
    np.testing.assert_allclose(OURS["cos"].broadcast(-x), [math.cos(a) for a in x], rtol=4e-16)


# --- coefficients -------------------------------------------------------------------------------------------


def _exp_rest(r):
    return mpmath.hyp1f1(1, 3, r) / 2


def _log_rest(z):
    return mpmath.fsum(2 * z**k / (2 * k + 3) for k in range(40))


def _sin_rest(z):
    return mpmath.fsum((-1) ** (k + 1) * z**k / mpmath.factorial(2 * k + 3) for k in range(20))


def _cos_rest(z):
    return mpmath.fsum((-1) ** k * z**k / mpmath.factorial(2 * k + 4) for k in range(20))


def _problem(name):
    """Function, weight and interval of a polynomial; a little wider than the reduction, which rounds."""
    wide = 1 + mpf(2) ** -10
    half = mpmath.log(2) / 2 * wide
    if name == "exp":
        return _exp_rest, lambda r: mpmath.sqrt(r * r + (half / 8) ** 2), -half, half
    s = (mpmath.sqrt(2) - 1) / (mpmath.sqrt(2) + 1)
    high = (s if name == "log" else mpmath.pi / 4) ** 2 * wide
    function = {"log": _log_rest, "sin": _sin_rest, "cos": _cos_rest}[name]
    weight = {"log": lambda z: z / 2, "sin": lambda z: z, "cos": lambda z: z * z}[name]
    return function, weight, high * mpf(10) ** -6, high


@pytest.mark.parametrize("kind", ["double", "float"])
@pytest.mark.parametrize("name", ["exp", "log", "sin", "cos"])
def test_coefficients_are_minimax(name, kind):
    """As good as any polynomial of their degree, but for their own rounding."""
    given = getattr(_coefficients.CONSTANTS[kind], name)
    with mpmath.workdps(40):
        problem = _problem(name)
        best, error = remez.polynomial(*problem, len(given) - 1)
        assert error < mpf(2) ** (-57 if kind == "double" else -27)
        unit = mpf(2) ** (-53 if kind == "double" else -24)
        allowed = error + unit * abs(best[0]) * problem[1](problem[3]) * (1 + mpf(2) ** -3)
        assert remez.largest_error(given, *problem) <= allowed


def test_constants_are_sums_of_parts():
    with mpmath.workdps(60):
        exact = {
            "log2": mpmath.log(2),
            "log2_short": mpmath.log(2),
            "log10_2": mpmath.log10(2),
            "log2_e": 1 / mpmath.log(2),
            "log10_e": 1 / mpmath.log(10),
            "right_angle": mpmath.pi / 2,
        }
        for kind, name in itertools.product(("double", "float"), exact):
            parts = getattr(_coefficients.CONSTANTS[kind], name)
            bits = (53 if kind == "double" else 24) * len(parts) - 14 * name.endswith(("short", "10_2"))
            assert abs(mpmath.fsum(map(mpf, parts)) - exact[name]) < exact[name] * mpf(2) ** -bits


# --- kernels ------------------------------------------------------------------------------------------------


def kepler(own_mean, eccentricity):
    anomaly, step = own_mean, 1.0
    while abs(step) > 1e-12:
        step = (anomaly - eccentricity * math.sin(anomaly) - own_mean) / (
            1 - eccentricity * math.cos(anomaly)
        )
        anomaly -= step
    return anomaly


def cell(own_c, f, g):
    if own_c > 0.1:
        return math.tanh(g) / (1 + math.exp(-f)) + math.log1p(own_c * own_c)
    return own_c * math.tanh(g)


def angle(own_a, b):
    return math.sin(own_a) * math.exp(b) + math.cos(own_a)


def gamma(own_a, b, x):
    return (own_a - 1) * math.log(x) - x / b - math.lgamma(own_a) - own_a * math.log(b)


def operands(count, n=37):
    random = np.random.default_rng(2)
    return [random.uniform(0.05, 0.9, n) for _ in range(count)]


def core_of(f, arrays, kind="partials"):
    """LLVM's text of f and its partials, with all functions of the table in it."""
    rule = fwddiff(f).broadcast.prepare(*arrays).rule
    code = rule.partials((0,)).code if kind else rule.code
    return ssa.inlined(pipeline.core_text(code, "core"), "core")


@pytest.mark.parametrize("f", [kepler, cell, angle, gamma])
@pytest.mark.parametrize("bits", [128, cpu.vector_bits()])
@pytest.mark.every(2)
def test_as_in_python(monkeypatch, f, bits):
    """With registers of ARM's length too."""
    monkeypatch.setattr(cpu, "vector_bits", lambda: bits)
    arrays = operands(f.__code__.co_argcount)
    if f is angle:
        arrays[0][::5] *= 1e12
    one = fd.rrule(fwddiff(renamed(f), engine="numba").broadcast, *arrays)
    other = fd.rrule(fwddiff(f, engine="numpy").broadcast, *arrays)
    found, wanted = ([y, *map(fd.unthunk, pullback(np.ones_like(y)))] for y, pullback in (one, other))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, 1e-13, 1e-15)


def renamed(f):
    """A function whose kernels are not there yet."""
    return types.FunctionType(f.__code__.replace(co_name=f"f{next(_numbers)}"), f.__globals__)


def module_of(monkeypatch, f, bits):
    """The text of the kernel of f's partials."""
    made, write = [], pipeline.module_text
    monkeypatch.setattr(cpu, "vector_bits", lambda: bits)
    monkeypatch.setattr(pipeline, "module_text", lambda *given: made.append(write(*given)) or made[-1])
    arrays = operands(f.__code__.co_argcount)
    rule = fwddiff(renamed(f)).broadcast.prepare(*arrays).rule.partials((0,))
    rule.launcher((0, *[(a.shape, a.strides) for a in arrays]))
    monkeypatch.setattr(pipeline, "module_text", write)
    return made[-1]


@pytest.mark.parametrize("f", [kepler, angle, gamma])
def test_arm_computes_elements_side_by_side(monkeypatch, f):
    text = module_of(monkeypatch, f, 128)
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("aarch64-linux-gnu").create_target_machine(cpu="generic", opt=2)
    code = machine.emit_assembly(llvm.parse_assembly(text))
    assert "_ZGV" not in code
    assert ".2d" in code
    assert "fmla" in code
    assert "bl\tfma" not in code


def test_a_value_and_its_slope_share_their_exponential():
    """One division, and the polynomial once."""
    value, both = (core_of(lambda own_t: math.tanh(own_t), operands(1), kind) for kind in ("", "partials"))
    assert both.count("fdiv") == value.count("fdiv") == 1
    assert both.count("@llvm.fma") <= value.count("@llvm.fma") + 2
    both = core_of(lambda own_t: math.sin(own_t), operands(1))
    assert both.count("call double @sin(") == both.count("call double @cos(") == 1  # of huge angles
    assert both.count("@llvm.fma") < 20


def test_calls_without_a_vector_version_do_not_stop_lanes(monkeypatch):
    """Unless there is nothing beside them."""
    bits = cpu.vector_bits() or pytest.skip("no vectors here")
    text = module_of(monkeypatch, gamma, bits)
    assert f"<{bits // 64} x double>" in text
    assert "@lgamma(" in text
    assert "x double>" not in module_of(monkeypatch, lambda own_g, x: math.lgamma(own_g) + x, bits)


# --- switches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vectors", ["", "off"])
@pytest.mark.parametrize("own", ["", "off", "all"])
def test_switches(monkeypatch, own, vectors):
    monkeypatch.setenv(elementary.VARIABLE, own)
    monkeypatch.setenv(vector_math.VARIABLE, vectors)
    forget()
    try:
        libraries = vector_math.library() is not None
        for name, bits in itertools.product(EXACT, (64, 32)):
            faster = name in elementary.FASTER[bits]
            wanted = own == "all" or (own == "" and (faster or not libraries))
            assert elementary.is_own(name, bits) is wanted
        code = core_of(lambda own_x: math.tanh(own_x) + math.exp(own_x), operands(1), "")
        assert ("@tanh(" in code) is (own == "off")
        assert ("@exp(" in code) is (own == "off" or (own == "" and libraries))
        # The slope of our own tanh has the exponential of its value, whoever makes that of the user.
        code = core_of(lambda own_x: math.tanh(own_x) + math.exp(own_x), operands(1), "partials")
        assert code.count("call double @exp(") == {"off": 2, "all": 0}.get(own, int(libraries))
    finally:
        monkeypatch.undo()
        forget()


def test_kernels_on_disk_are_kept_apart(monkeypatch):
    keys = set()
    for own, vectors in itertools.product(["", "off", "all"], ["", "off"]):
        monkeypatch.setenv(elementary.VARIABLE, own)
        monkeypatch.setenv(vector_math.VARIABLE, vectors)
        forget()
        has_library = vectors == "" and vector_math.library() is not None
        keys.add((own, has_library, _store._compiler()))
    monkeypatch.undo()
    forget()
    assert len({key for *_, key in keys}) == len(keys)


def test_without_fused_instructions_the_library_is_called(monkeypatch):
    monkeypatch.setattr(elementary, "_fuses", lambda: False)
    forget()
    try:
        assert not elementary.is_own("exp", 64)
    finally:
        forget()
