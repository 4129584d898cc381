"""What would lose a derivative raises, and says what to do."""

import functools
import math

import numpy as np
import pytest

from fwddiff import ArgumentError, DerivativeError, dual

NUMBER = dual.make(0.5, [1.0], 0)
ARRAY = dual.make(np.array([0.5, 1.5]), [np.ones(2)], 0)
FLOAT = (
    "float(), or a function that calls it, of a dual number would lose its derivative: pass it on as it "
    "is; use "
    "numpy's functions or math's. A plain array has no place for it: a buffer from outside is a fd.DiffCache."
)
CONVERSION = (
    "numpy.array, numpy.asarray or an assignment into a plain array of a dual number would lose its "
    "derivative: "
    "combine numbers with numpy.stack([...]), make buffers with numpy.zeros_like(x) of a differentiated "
    "x, and leave "
    "numpy.asarray out; a buffer from outside is a fd.DiffCache."
)


def no_derivative(name):
    return (
        f"{name} has no derivative in the numpy engine. Write it with functions that have one, give it "
        f"a rule with "
        f"fwddiff.scalar_rule({name}, ...), or take it out of the differentiated function."
    )


def no_option(name, option):
    return (
        f"numpy.{name} with {option}= is not supported on dual numbers: leave {option}= out, and use "
        f"the result "
        "(numpy.where selects, x[...] = y writes into an array made by numpy.zeros_like of a dual array)."
    )


def plain_target(name):
    return (
        f"numpy.{name} cannot write a dual number into a plain array (out= or an operator such as +=), "
        f"its derivative "
        "would be lost: use the result (x = x + y), or make the array with numpy.zeros_like of a dual array. "
        "A buffer from outside is a fd.DiffCache."
    )


def into(array, index, item):
    array[index] = item


@functools.cache
def remembered(x):
    return x


ERRORS = [
    (lambda: float(NUMBER), FLOAT),
    (lambda: float(ARRAY), FLOAT),
    (lambda: math.sin(NUMBER), FLOAT),
    (lambda: into(np.zeros(2), 0, NUMBER), FLOAT),
    (lambda: np.float64(NUMBER), CONVERSION),
    (lambda: np.asarray(ARRAY), CONVERSION),
    (lambda: np.array([NUMBER, 1.0]), CONVERSION),
    (lambda: into(np.zeros(2), slice(None), ARRAY), CONVERSION),
    (lambda: np.sum([NUMBER, NUMBER]), CONVERSION),
    (lambda: complex(NUMBER),
     "complex() of a dual number would lose its derivative: complex numbers are not supported; "
     "keep real and imaginary parts as two numbers."),
    (lambda: remembered(NUMBER),
     "The hash of a dual number would lose its derivative: do not use it as a key of a dict "
     "or set, or as an argument of a cached function."),
    (lambda: np.zeros(2).__iadd__(ARRAY), plain_target("add")),
    (lambda: np.sin(ARRAY, out=np.zeros(2)), plain_target("sin")),
    (lambda: np.full_like(np.zeros(2), NUMBER), plain_target("copyto")),
    (lambda: np.sin(ARRAY, np.zeros(2)), plain_target("sin")),
    (lambda: np.sin(ARRAY, where=[True, False]),
     "numpy.sin with where= leaves elements undefined, and their derivatives "
     "too: call it without, and select with numpy.where(condition, result, otherwise)."),
    (lambda: np.sin(ARRAY, dtype=np.float32),
     "numpy.sin with dtype= is not supported on dual numbers: leave dtype= out."),
    (lambda: np.subtract.reduce(ARRAY, initial=1.0),
     "numpy.subtract.reduce with these options has no derivative in the numpy engine: reduce in a loop "
     "over the axis."),
    (lambda: np.add.at(ARRAY, [0], 1.0), "numpy.add.at has no derivative in the numpy engine: use a loop."),
    (lambda: np.sum(ARRAY, out=np.zeros(())), no_option("sum", "out")),
    (lambda: np.sum(ARRAY, 0, None, np.zeros(())), no_option("sum", "out")),
    (lambda: np.mean(ARRAY, 0, None, np.zeros(())), no_option("mean", "out")),
    (lambda: np.mean(ARRAY, where=[True, False]), no_option("mean", "where")),
    (lambda: np.max(ARRAY, 0, np.zeros(())), no_option("max", "out")),
    (lambda: np.cumsum(ARRAY, dtype=np.float32), no_option("cumsum", "dtype")),
    (lambda: np.dot(ARRAY, ARRAY, np.zeros(())), no_option("dot", "out")),
    (lambda: np.concatenate([ARRAY, ARRAY], out=np.zeros(4)), no_option("concatenate", "out")),
    (lambda: np.clip(ARRAY, 0.0, 1.0, np.zeros(2)), no_option("clip", "out")),
    (lambda: np.fft.fft(ARRAY), no_derivative("numpy.fft.fft")),
    (lambda: np.nanmedian(ARRAY), no_derivative("numpy.nanmedian")),
    (lambda: np.spacing(ARRAY), no_derivative("numpy.spacing")),
    (lambda: dual.math_namespace().nextafter(NUMBER, 1.0), no_derivative("math.nextafter")),
    (lambda: dual.math_namespace().ldexp(0.5, NUMBER), no_derivative("math.ldexp")),
    (lambda: np.linalg.norm(ARRAY[:, None], 2),
     "numpy.linalg.norm with ord=2 of a matrix has no derivative in the numpy "
     "engine: use ord=None, 'fro', or norms of vectors (axis=...)."),
    (lambda: ARRAY.astype(int),
     "astype(int64) of a dual number would lose its derivative: use a float dtype, or int(x) of "
     "single numbers."),
    (lambda: into(ARRAY.copy(), 0, dual.make(1.0, [1.0], 3)),
     "A dual of level 3 cannot be written into an array of duals "
     "of level 0: its derivative would be lost. Make the array from what it will hold, by "
     "numpy.zeros_like or "
     "numpy.stack; a buffer from outside is a fd.DiffCache."),
    (lambda: into(dual.make(np.ones(2), [1.0], 3), 0, NUMBER),
     "A dual of level 0 cannot be written into an array without "
     "derivatives of that level: its derivative would be lost. Make the array from what it will hold, by "
     "numpy.zeros_like or numpy.stack; a buffer from outside is a fd.DiffCache."),
    (lambda: (-NUMBER) ** 0.5, 
     f"A dual number must be real, and the value {(-0.5) ** 0.5!r} (complex) is not: use float arguments."),
    (lambda: np.roll(ARRAY, NUMBER), "numpy.roll takes dual numbers in its first argument only."),
]  # fmt: skip


@pytest.mark.parametrize(("action", "message"), ERRORS, ids=range(len(ERRORS)))
def test_messages(action, message):
    with pytest.raises(DerivativeError) as raised:
        action()
    assert str(raised.value) == message


def test_counts_of_partials_must_agree():
    with pytest.raises(
        ArgumentError, match="Duals of level 0 with 2 and with 1 partials were mixed: give all"
    ):
        NUMBER + dual.make(1.0, [1.0, 1.0], 0)


def test_numbers_are_no_sequences():
    for action in (lambda: len(NUMBER), lambda: list(NUMBER), lambda: NUMBER[0]):
        with pytest.raises(TypeError):
            action()
