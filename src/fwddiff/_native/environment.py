"""What compiled code depends on beside the function: versions, processor, options, fwddiff's sources."""

# Numba's modules export what no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np

from fwddiff import _native
from fwddiff._native import disk
from fwddiff._native.internals import config
from fwddiff._native.machine_code import features, processor

_OPTIONS = (
    "OPT",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "DEBUG_NRT",
    "NRT_STATS",
    "USING_SVML",
    "LLVM_REFPRUNE_PASS",
    "LLVM_REFPRUNE_FLAGS",
    "EXTEND_VARIABLE_LIFETIMES",
)
# Sources that no kernel depends on.
_ELSEWHERE = ("hosts", "demo", "cache", "testing")


def environment() -> str:
    """Hash of the compiler's side; empty where it cannot be told."""
    sources = _sources()
    if sources is None:
        return ""
    versions = sys.version, numba.__version__, llvmlite.__version__, llvm.llvm_version_info, np.__version__
    machine = llvm.get_process_triple(), processor(), features(), _c_library()
    options = [(name, str(getattr(config, name, None))) for name in _OPTIONS]
    return hashlib.sha256(repr((versions, machine, options, sources)).encode()).hexdigest()


def _c_library() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):
        return None


_hashed: list[str | None] = []


def _sources() -> str | None:
    """Hash of fwddiff's own code; `None` if files changed after they were imported, or cannot be read."""
    if not _hashed:
        _hashed.append(_hash_of_sources())
    return _hashed[0]


def _hash_of_sources() -> str | None:
    root = Path(_native.__file__).parent.parent
    try:
        files = sorted(_python_files(root))
        if any(modified > _native.IMPORTED * 1e9 for _, modified, _ in files):
            return None
        return _known_hash(root, files)
    except OSError:
        return None


def _known_hash(root: Path, files: list[tuple[str, int, int]]) -> str:
    """The hash of the contents of these, which is kept by their times and sizes: reading three hundred files
    took half of what a first gradient with kernels from disk did (30 of 60 ms)."""
    name = hashlib.sha256(repr((str(root), files)).encode()).hexdigest()
    found = disk.read(name)
    if found is not None:
        return found[0]["sources"]
    digest = hashlib.sha256()
    for path, _, _ in files:
        digest.update(os.path.relpath(path, root).encode() + b"\0" + Path(path).read_bytes())
    disk.write(name, {"sources": digest.hexdigest()})
    return digest.hexdigest()


def _python_files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Path, time in nanoseconds and size."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir() and entry.name not in (*_ELSEWHERE, "__pycache__"):
                yield from _python_files(Path(entry.path))
            elif entry.name.endswith(".py"):
                told = entry.stat()
                yield entry.path, told.st_mtime_ns, told.st_size
