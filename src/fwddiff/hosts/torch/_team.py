"""The threads that PyTorch's own operations run on: OpenMP's team.

After an operation they wait busily for the next one, for some milliseconds. Threads of our own would have to
share the cores with them: the pointwise part of a recurrent layer, between matrix products, then gains
nothing from a second thread.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re

import torch

from fwddiff._native import tasks

_LIBRARY = re.compile(r"/lib(gomp|iomp5|omp)\b[^/]*\.so[^/]*$")


def threads() -> int:
    """Number of threads for a kernel's call, as `tasks.run` takes it."""
    return -torch.get_num_threads() if _has_team() else torch.get_num_threads()


@functools.cache
def _has_team() -> bool:
    address = _parallel() if "OpenMP" in torch.__config__.parallel_info() else None
    if address:
        tasks.use_team(address)
    return bool(address)


def _parallel() -> int | None:
    """Address of `GOMP_parallel` (LLVM's and Intel's libraries have it too) in the one OpenMP library that
    this process has loaded, or in PyTorch's own."""
    try:
        with open("/proc/self/maps") as file:
            loaded = {line.split()[-1] for line in file if _LIBRARY.search(line.rstrip())}
    except OSError:
        return None
    own = {path for path in loaded if path.startswith(os.path.dirname(torch.__file__))}
    if len(own or loaded) != 1:
        return None
    (path,) = own or loaded
    try:
        library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None
