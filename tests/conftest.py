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


@pytest.fixture(scope="module")
def kernels_on_disk(tmp_path_factory):
    """Processes that a module's tests start share what they compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FWDDIFF_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield
