"""Tests compile what they test: kernels that an earlier run left on disk are not used, and none are left."""

import gc
import os

import pytest

os.environ.setdefault("FWDDIFF_CACHE_DIR", "off")


@pytest.fixture(scope="module", autouse=True)
def _compilers_objects_are_left_alone():
    """What Numba keeps of compiled functions grows to gigabytes; looking for garbage in it took seconds each
    time."""
    yield
    gc.freeze()
