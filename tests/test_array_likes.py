"""Arrays that mean more than their numbers, and columns of tables: refused in words that help, or taken."""

from __future__ import annotations

import types

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import ArgumentError, fwddiff

ENGINES = ("numba", "numpy")
numbers = np.array([1.0, 2.0, 3.0])


class Quantity(np.ndarray):
    """As astropy and unyt make their arrays."""

    unit = "m"


class Pinted:
    """As pint wraps arrays."""

    def __array_ufunc__(self, *args, **kwargs):
        return NotImplemented


class Column:
    """As pandas, polars and pyarrow make their columns: another's values would not be seen in its type."""

    dtype, ndim, shape = np.dtype(float), 1, (3,)

    def __init__(self, values=numbers):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)

    def to_numpy(self):
        return self.values


class Table(Column):
    columns = ("a",)


REFUSED = [
    (np.ma.masked_array(numbers, [0, 1, 0]), "compressed"),
    (np.ma.masked, "mask"),
    (numbers[None].view(np.matrix), "matrix"),
    (numbers.view(Quantity), "unit"),
    (Pinted(), "NumPy array"),
    (Column(), "to_numpy"),
    (Table(), r"x\['name'\]\.to_numpy"),
]


def pull(operation, *args):
    y, back = fd.rrule(operation, *args)
    return [fd.unthunk(t) for t in back(np.ones_like(y))]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("leaf", "words"), REFUSED, ids=[type(leaf).__name__ for leaf, _ in REFUSED])
def test_refused(leaf, words, engine):
    g = fwddiff(lambda a, x: a * x * x, engine=engine)
    calls = [
        lambda: g.broadcast(2.0, leaf),
        lambda: g.sum(2.0, (leaf,)[0]),
        lambda: pull(g.sum, 2.0, leaf),
        lambda: pull(g, 2.0, leaf),
    ]
    for call in calls:
        with pytest.raises(ArgumentError, match=words) as caught:
            call()
        assert "'x'" in str(caught.value)
        assert len(str(caught.value).splitlines()) < 12


@pytest.mark.parametrize("engine", ENGINES)
def test_refused_beside_and_within_other_arguments(engine):
    g = fwddiff(lambda d: d["a"] * d["b"], engine=engine)
    with pytest.raises(ArgumentError, match=r"\['b'\].*compressed"):
        g.sum({"a": 2.0, "b": REFUSED[0][0]})
    torch = pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match="to_numpy"):
        g.sum({"a": torch.ones(3), "b": Column()})


def test_captured():
    masked = REFUSED[0][0]
    with pytest.raises(ArgumentError, match=r"captured 'masked'.*compressed"):
        fwddiff(lambda i, x: masked[i] * x).sum(np.arange(3), 2.0)


def test_the_value_alone_is_the_functions_own():
    masked = REFUSED[0][0]
    y = fwddiff(lambda x: x * x)(masked)
    assert isinstance(y, np.ma.MaskedArray)
    np.testing.assert_array_equal(y.mask, masked.mask)


@pytest.mark.parametrize("engine", ENGINES)
def test_taken(tmp_path, engine):
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=3)
    mapped[:] = numbers
    g = fwddiff(lambda a, x: a * x * x, engine=engine)
    for x in (mapped, numbers.view(np.recarray), mapped[1:]):
        for operation in (g.sum, g.broadcast):
            a_bar, x_bar = pull(operation, 2.0, x)
            np.testing.assert_allclose(a_bar, np.sum(np.asarray(x) ** 2))
            np.testing.assert_allclose(x_bar, 4.0 * np.asarray(x))


def test_real_columns():
    pandas = pytest.importorskip("pandas")
    g = fwddiff(lambda x: x * x)
    frame = pandas.DataFrame({"a": numbers})
    for leaf, words in ((frame.a, r"Series of pandas.*x\.to_numpy"), (frame, "DataFrame of pandas.*columns")):
        with pytest.raises(ArgumentError, match=words):
            g.sum(leaf)
    np.testing.assert_allclose(pull(g.sum, frame.a.to_numpy())[0], 2 * numbers)


# --- hosts whose arrays have no dtype -----------------------------------------------------------------------


class Toy:
    """An array of a toy host, without `dtype` and `ndim`."""

    def __init__(self, value):
        self.value = value


@pytest.fixture
def toy_host(monkeypatch):
    from fwddiff import _host

    host = types.ModuleType("fwddiff.hosts.toy")
    host.owns = lambda leaf: isinstance(leaf, Toy)
    host.shape, host.dtype = lambda leaf: leaf.value.shape, lambda leaf: leaf.value.dtype
    host.integer_dtype, host.float_dtype = (lambda: np.dtype(np.int64)), (lambda: np.dtype(np.float64))
    host.detach = lambda leaf: leaf
    host.apply = lambda rule, leaves: [
        Toy(y) for y in rule([np.asarray(x.value, s.dtype) for x, s in zip(leaves, rule.inputs, strict=True)])
    ]
    monkeypatch.setattr(_host, "loaded_hosts", lambda: [host])
    monkeypatch.setattr(_host, "_owners", {})
    return host


@pytest.mark.parametrize("engine", ENGINES)
def test_hosts_without_dtypes_are_asked(toy_host, engine):
    g = fwddiff(lambda x: x + 0.1, engine=engine)
    for dtype in (np.float32, np.float64, np.float32):
        for shape in ((), (2,)):
            y = g.broadcast(Toy(np.ones(shape, dtype))).value
            assert y.dtype == dtype
            np.testing.assert_array_equal(y, np.ones(shape, dtype) + dtype(0.1))
