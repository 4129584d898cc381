"""Tests compile what they test: kernels that an earlier run left on disk are not used, and none are left."""

import gc
import os
import shutil
import tempfile

_CACHE = "FWDDIFF_CACHE_DIR"


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
