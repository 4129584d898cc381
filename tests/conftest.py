"""Tests compile what they test: kernels that an earlier run left on disk are not used, and none are left.

A test that imports a host which is not installed here is skipped: there is no PyTorch for every Python.
"""

import collections
import gc
import importlib.util
import os
import shutil
import tempfile

import pytest

_CACHE = "FWDDIFF_CACHE_DIR"
_HOSTS = ("torch", "jax", "autograd", "tensorflow", "pytensor", "mlx")
_MISSING = [name for name in _HOSTS if importlib.util.find_spec(name) is None]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if error.name in _MISSING:
            pytest.skip(f"{error.name} is not installed")
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of many tests of one kind an ordinary run takes a part; the others are slow.

    `@pytest.mark.few(form=["list"], engine=["numpy"])` keeps those of that form or that engine, and
    `@pytest.mark.every(3)` every third of all.
    """
    seen = collections.Counter()
    for item in items:
        name = item.nodeid.partition("[")[0]
        for mark in item.iter_markers("few"):
            values = item.callspec.params
            if not any(_name(values[parameter]) in kept for parameter, kept in mark.kwargs.items()):
                item.add_marker(pytest.mark.slow)
        for mark in item.iter_markers("every"):
            if seen[name] % mark.args[0]:
                item.add_marker(pytest.mark.slow)
            seen[name] += 1


def _name(value):
    return getattr(value, "__name__", value)


def pytest_configure(config):
    """Workers of one run share what they compile, and so do processes that tests start."""
    # What compilers keep grows to gigabytes: looking for garbage in it took a sixth of the time.
    gc.set_threshold(200_000, 20, 50)
    if hasattr(config, "workerinput") or _CACHE in os.environ:
        return
    config.kernels = os.environ[_CACHE] = tempfile.mkdtemp(prefix="fwddiff-tests-")


def pytest_unconfigure(config):
    if hasattr(config, "kernels"):
        shutil.rmtree(config.kernels, ignore_errors=True)
        del os.environ[_CACHE]
