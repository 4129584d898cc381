"""Kernels on disk: another process compiles nothing, and nothing stale, foreign or damaged is ever used."""

import ctypes
import dataclasses
import errno
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import compiler, config

import fwddiff as fd
import fwddiff._native as native
from fwddiff._native import compiler as llvm_code
from fwddiff._native import disk, environment, machine_code
from fwddiff.engines.numba.cache import VARIABLE, _store, summary

# Counts every function that Numba compiles.
COUNTING = """
import dataclasses, json, math, os
from typing import NamedTuple
import numpy as np
from numba.core import compiler
import fwddiff as fd
compiled, found = [], {}
compile_core = compiler.CompilerBase._compile_core
def counted(self):
    compiled.append(self.state.func_id.func_qualname)
    return compile_core(self)
compiler.CompilerBase._compile_core = counted
"""
REPORT = "\nprint(json.dumps([found, compiled]))\n"


def start(program: str, folder: Path, **variables: str) -> subprocess.Popen:
    """Run a program that fills `found`, in a process of its own."""
    environment = os.environ | {VARIABLE: str(folder), "PYTHONPATH": ":".join(sys.path)} | variables
    command = [sys.executable, "-c", COUNTING + program + REPORT]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen) -> tuple[dict, list[str]]:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(output.splitlines()[-1])


def run(program: str, folder: Path, **variables: str) -> tuple[dict, list[str]]:
    return finish(start(program, folder, **variables))


@pytest.fixture(autouse=True)
def sources_as_they_are(monkeypatch):
    """Whoever edits the package while its tests run does not switch the cache off."""
    monkeypatch.setattr(native, "IMPORTED", math.inf)
    monkeypatch.setattr(environment, "_hashed", [])


EVERYTHING = """
class Pair(NamedTuple):
    low: float
    high: float

@dataclasses.dataclass
class Line:
    slope: float
    offset: float
    def at(self, x):
        return self.slope * x + self.offset

def model(line, x, kind):
    y = line.at(x) if kind == "line" else x
    return Pair(y, y * y), Line(y, 1.0), (None, math.erf(y))

def outer(v):
    return np.exp(v) * v

def checked(x):
    if x < 0:
        raise ArithmeticError("negative")
    return math.sqrt(x)

rate = 3.0
def handed(f, x):
    return f(0.5 * x)

shared = fd.fwddiff(lambda x: (lambda t: t * rate)(x) * rate)
X = np.linspace(0.1, 1.0, 5)
result, pullback = fd.rrule(fd.fwddiff(model), Line(2.0, 0.5), 0.3, "line")
cotangent = Pair(1.0, 2.0), Line(0.5, 0.0), (None, 1.5)
found["kind"] = [type(result[0]).__name__, type(result[1]).__name__, result[2][0]]
found["model"] = [*result[0], result[1].slope, result[2][1]]
found["pullback"] = [*dataclasses.astuple(fd.unthunk(pullback(cotangent)[0]))]
found["array"] = fd.unthunk(fd.rrule(fd.fwddiff(outer), X)[1](X)[0]).tolist()
found["hessian"] = fd.hessian(lambda v: (v * v * v).sum(), X).tolist()
found["dict"] = fd.rrule(lambda d: d, {"a": 1.0, "b": 2.0})[0]
found["sum"] = float(fd.fwddiff(checked).sum(X))
found["large"] = float(fd.fwddiff(checked).sum(np.linspace(0.0, 1.0, 200_000)))
found["shared"] = shared.broadcast(X).tolist()
found["lambda"] = fd.derivative(lambda x: handed(lambda t: x * t * rate, x), 2.0)
found["special"] = fd.derivative(lambda x: math.lgamma(x), 2.5)
"""

RAISING = """
try:
    fd.fwddiff(checked).sum(-X)
except ArithmeticError as error:
    found["error"] = str(error)
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder that one process has filled, with what that process found."""
    folder = tmp_path_factory.mktemp("cache") / "kernels"
    found, compiled = run(EVERYTHING, folder)
    assert compiled
    return folder, found


def test_a_second_process_compiles_nothing(filled):
    folder, first = filled
    found, compiled = run(EVERYTHING, folder)
    assert compiled == []
    assert found == first


def test_kernels_from_disk_raise_what_the_function_raises(filled):
    found, compiled = run(EVERYTHING + RAISING, filled[0])
    assert found["error"] == "negative"
    assert compiled, "the exception is found by compiling a version that raises"


def test_files_hold_text_and_machine_code_but_no_objects(filled):
    for path in filled[0].iterdir():
        content = path.read_bytes()
        assert content.startswith(b"fwddiff kernel 1\n")
        assert path.stat().st_mode & 0o077 == 0
    assert filled[0].stat().st_mode & 0o077 == 0


# --- nothing stale ----------------------------------------------------------------------------------------

EDITED = """
@dataclasses.dataclass
class Box:
    a: float
    def area(self):
        return self.a * 2.0

def helper(x, k=3.0):
    return x * k

SCALE = 5.0

def value(x):
    return helper(x) + Box(x).area() + (lambda t: t * SCALE)(x)

found["value"] = fd.fwddiff(value)(1.0), fd.derivative(value, 1.0)
"""

EDITS = [
    ("return x * k", "return x * k + x * x", [11.0, 12.0]),
    ("k=3.0", "k=4.0", [11.0, 11.0]),
    ("self.a * 2.0", "self.a * 6.0", [14.0, 14.0]),
    ("SCALE = 5.0", "SCALE = 7.0", [12.0, 12.0]),
    ("helper(x) + Box", "2.0 * helper(x) + Box", [13.0, 13.0]),
]


def test_every_edit_changes_the_result(tmp_path):
    assert run(EDITED, tmp_path)[0]["value"] == [10.0, 10.0]
    programs = [EDITED.replace(old, new) for old, new, _ in EDITS]
    assert EDITED not in programs
    several = "".join(f"\nexec({p!r})\nfound['{k}'] = found['value']\n" for k, p in enumerate(programs))
    found, _ = run(several, tmp_path)
    assert [found[str(k)] for k in range(len(EDITS))] == [expected for *_, expected in EDITS]
    again, compiled = run(several + EDITED, tmp_path)
    assert compiled == []
    assert again["value"] == [10.0, 10.0]


ROW = """
def bent(x):
    return x * x
fd.scalar_rule(bent, os.environ["PARTIAL"])
found["slope"] = fd.derivative(lambda x: bent(x), 3.0)
"""


def test_a_row_of_the_users_with_another_partial_changes_the_result(tmp_path):
    assert run(ROW, tmp_path, PARTIAL="2 * x")[0] == {"slope": 6.0}
    assert run(ROW, tmp_path, PARTIAL="5 * x")[0] == {"slope": 15.0}
    found, compiled = run(ROW, tmp_path, PARTIAL="2 * x")
    assert (found, compiled) == ({"slope": 6.0}, [])


OVERLOADED = """
import numba.extending
SCALE = float(os.environ["SCALE"])
def scaled(x):
    return x * SCALE
@numba.extending.overload(np.fliplr)
def flip(x):
    return lambda x: scaled_in_kernels(x)
scaled_in_kernels = numba.extending.register_jitable(scaled)
found["value"] = float(fd.fwddiff(lambda x: np.fliplr(x)).broadcast(np.array([2.0]))[0])
"""


@pytest.mark.slow
def test_an_extension_of_numba_that_changes_changes_the_result(tmp_path):
    assert run(OVERLOADED, tmp_path, SCALE="3")[0] == {"value": 6.0}
    assert run(OVERLOADED, tmp_path, SCALE="5")[0] == {"value": 10.0}


def test_without_vector_functions_other_kernels_are_used(monkeypatch):
    before = _store._compiler()
    monkeypatch.setattr(_store.vector_math, "library", lambda: None)
    assert _store._compiler() not in ("", before)


FACTOR = 2.0


def test_a_constant_that_changes_before_the_compilation_is_an_error(cache):
    """The rule is made while the constant has one value, its pullback compiled while it has another."""
    global FACTOR

    def value(x):
        return (lambda t: t * FACTOR)(x)

    FACTOR = 2.0
    _, pullback = fd.rrule(value, 1.0)
    FACTOR = 7.0
    with pytest.raises(fd.CaptureError, match="value refers to changed after the call"):
        fd.unthunk(pullback(1.0)[0])
    assert fd.unthunk(fd.rrule(value, 1.0)[1](1.0)[0]) == 7.0
    FACTOR = 2.0
    assert fd.unthunk(fd.rrule(value, 1.0)[1](1.0)[0]) == 2.0


def test_function_arguments_are_told_apart(cache):
    apply = lambda f, x: f(x)  # noqa: E731
    for text, expected in (("x * 2.0", 2.0), ("x * 3.0", 3.0), ("x * 2.0", 2.0)):
        step = eval(f"lambda x: {text}")
        assert fd.unthunk(fd.rrule(apply, step, 1.0)[1](1.0)[1]) == expected


# --- what the key depends on ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (config, "CPU_NAME", "nocona"),
        (config, "CPU_FEATURES", "+sse2"),
        (config, "BOUNDSCHECK", 1),
        (config, "LOOP_VECTORIZE", 0),
        (numba, "__version__", "0.0.1"),
        (np, "__version__", "0.0.1"),
        (sys, "version", "3.99"),
    ],
)
def test_kernels_of_another_processor_option_or_version_are_not_found(monkeypatch, owner, name, value):
    before = environment.environment()
    assert before
    assert before == environment.environment()
    monkeypatch.setattr(owner, name, value)
    assert environment.environment() not in ("", before)


def test_sources_that_changed_after_their_import_switch_the_cache_off(monkeypatch):
    assert environment._hash_of_sources()
    monkeypatch.setattr(native, "IMPORTED", time.time() - 1e9)
    assert environment._hash_of_sources() is None


# --- the folder -------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for this process."""
    folder = tmp_path / "kernels"
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.mark.slow
def test_two_processes_at_once(tmp_path):
    both = [start(EDITED, tmp_path) for _ in range(2)]
    assert [finish(process)[0]["value"] for process in both] == [[10.0, 10.0]] * 2
    assert run(EDITED, tmp_path)[1] == []
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".kernel"]


def test_what_is_written_is_read_once_whole(cache):
    assert disk.read("key") is None
    assert disk.write("key", {"a": [1, 2.5]}, b"body")
    header, body = disk.read("key") or ({}, b"")
    assert (header["a"], body) == ([1, 2.5], b"body")


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "foreign", "header"])
def test_damaged_and_foreign_files_are_not_used(cache, damage):
    disk.write("key", {"a": 1}, b"body")
    path = cache / "key.kernel"
    content = path.read_bytes()
    if damage == "foreign":
        path = path.rename(cache / "other.kernel")
    else:
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        changed = {"cut": content[:-1], "flip": flipped, "empty": b"", "text": b"hello"}
        path.write_bytes(changed.get(damage, content.replace(b"kernel 1", b"kernel 0")))
    assert disk.read(path.stem) is None


def test_a_damaged_kernel_is_compiled_and_kept_again(tmp_path):
    run(EDITED, tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    found, compiled = run(EDITED, tmp_path)
    assert found["value"] == [10.0, 10.0]
    assert compiled
    assert run(EDITED, tmp_path)[1] == []


@pytest.mark.parametrize("call", ["mkstemp", "replace", "mkdir"])
def test_a_full_or_read_only_disk_is_no_error(cache, monkeypatch, call):
    def fail(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    owner = {"mkstemp": disk.tempfile, "replace": os, "mkdir": Path}[call]
    monkeypatch.setattr(owner, call, fail)
    assert fd.fwddiff(lambda x: x * 17.0)(np.float64(2.0)) == 34.0
    assert not disk.write("key", {})
    monkeypatch.undo()
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_folder_that_cannot_be_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "kernels"))
    assert fd.derivative(lambda x: x * 19.0, 2.0) == 19.0
    assert not disk.write("key", {})


def test_a_folder_that_others_may_write_to_is_not_used(cache):
    disk.write("key", {})
    cache.chmod(0o777)
    assert disk.read("key") is None
    assert not disk.write("other", {})
    assert "not used" in summary()
    cache.chmod(0o700)
    assert disk.read("key") is not None


def test_a_folder_or_file_of_another_user_is_not_used(cache, monkeypatch):
    disk.write("key", {})
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert disk.read("key") is None
    assert not disk.write("other", {})


def test_off_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "off")
    assert fd.derivative(lambda x: x * 23.0, 2.0) == 23.0
    assert list(tmp_path.iterdir()) == []
    assert summary() == f"off (by {VARIABLE})"
    monkeypatch.delenv(VARIABLE)
    assert disk.folder() == tmp_path / "fwddiff"


def test_what_was_not_used_for_longest_goes_first(cache):
    for k, name in enumerate(("a", "b", "c")):
        disk.write(name, {}, bytes(1000))
        os.utime(cache / f"{name}.kernel", (k, k))
    (cache / "left.unfinished").write_text("")
    os.utime(cache / "left.unfinished", (0, 0))
    assert disk.read("a")  # used now
    disk.trim(cache, 2500)
    assert sorted(path.name for path in cache.iterdir()) == ["a.kernel", "c.kernel"]
    assert summary() == f"{cache} (2 files, 0.0 MiB)"


# --- what cannot be kept ----------------------------------------------------------------------------------


def test_machine_code_that_needs_what_is_not_here_is_not_loaded():
    code = llvm_code.compiled("define i64 @kernel() {\n ret i64 7\n}", "kernel")
    loaded = machine_code.load(code)
    assert loaded is not None
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(loaded.address)() == 7
    assert machine_code.load(code._replace(needs=("no_such_function",))) is None


def test_a_function_that_calls_an_address_works_and_is_not_kept(cache, monkeypatch):
    absolute = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(("fabs", ctypes.CDLL(None)))
    wrapped = fd.fwddiff(lambda k, x: x * 2.0 if absolute(float(k)) > 1.0 else x)
    assert fd.unthunk(fd.rrule(wrapped, 2, 3.0)[1](1.0)[1]) == 2.0
    assert not cache.exists()


def test_classes_of_one_name_never_meet(cache, monkeypatch):
    """Two classes with fields, names and files in common; each gets its own results, from disk too."""
    counted: list[str] = []
    compile_core = compiler.CompilerBase._compile_core
    monkeypatch.setattr(
        compiler.CompilerBase,
        "_compile_core",
        lambda self: counted.append(self.state.func_id.func_qualname) or compile_core(self),
    )

    def make(factor):
        @dataclasses.dataclass
        class Local:
            x: float

        setattr(Local, "scaled", eval(f"lambda self: self.x * {factor}"))  # noqa: B010 - no stub knows it
        return Local, lambda point: Local(point.scaled())

    for factor in (2.0, 3.0, 2.0):
        cls, function = make(factor)
        before = len(counted)
        result, pullback = fd.rrule(function, cls(1.5))
        assert type(result) is cls
        assert result.x == 1.5 * factor
        assert fd.unthunk(pullback(cls(1.0))[0]) == cls(factor)
    assert len(counted) == before, "the third class is like the first, so its kernels are on disk"
