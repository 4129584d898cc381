"""Ctrl-C in a kernel that never ends: in processes of their own, which get SIGINT once they say that they
started."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("programs_without_end.py")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")
STARTING, STOPPING = 120, 20  # seconds


class Program:
    def __init__(self, *arguments: str, **variables: str):
        environment = {**os.environ, "FWDDIFF_NUM_THREADS": "2", **variables}
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments],
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=True,
        )

    def read(self, timeout: float) -> str:
        """Next line; the program is killed if there is none in time."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        if not ready:
            pytest.fail("the program goes on and on")
        return self.process.stdout.readline().decode().strip()

    def interrupt(self) -> None:
        """Ctrl-C, some time into the call."""
        time.sleep(0.3)
        self.process.send_signal(signal.SIGINT)

    def lines(self) -> list[str]:
        """All that is still said."""
        found = []
        while line := self.read(STOPPING):
            found.append(line)
        self.process.communicate(timeout=STOPPING)
        assert self.process.returncode == 0
        return found

    def end(self) -> None:
        """With what it has forked."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def start():
    """Starts programs, of which none is left in the end."""
    programs = []

    def started(*arguments: str, **variables: str) -> Program:
        programs.append(Program(*arguments, **variables))
        return programs[-1]

    yield started
    for program in programs:
        program.end()


NAMES = (
    *("value", "lanes", "strided", "threads", "derivative", "operators", "caught", "array", "torch_backward"),
    *("jax_jit", "handler_again", "earlier", "other_thread", "by_another_program"),
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.few(
    name=[
        "value",
        "lanes",
        "threads",
        "torch_backward",
        "other_thread",
    ]
)
def test_a_kernel_without_end_is_stopped(start, name):
    if name in ("torch_backward", "jax_jit"):
        pytest.importorskip(name.partition("_")[0])
    program = start(name)
    assert program.read(STARTING) == "started"
    program.interrupt()
    assert program.lines() == ["stopped", "works"]


def test_pytensors_programs_are_stopped(start):
    pytest.importorskip("pytensor")
    program = start("pytensor_program")
    for _ in range(2):
        assert program.read(STARTING) == "started"
        program.interrupt()
    assert program.lines() == ["stopped", "works"]


def test_kernels_from_disk_are_stopped(start, tmp_path):
    for _ in range(2):
        program = start("derivative", FWDDIFF_CACHE_DIR=str(tmp_path))
        assert program.read(STARTING) == "started"
        program.interrupt()
        assert program.lines() == ["stopped", "works"]


def test_a_handler_of_the_users_own_runs(start):
    program = start("own_handler")
    assert program.read(STARTING) == "started"
    program.interrupt()
    assert program.lines() == ["handled", "stopped", "works"]


def test_a_handler_that_returns_lets_the_call_go_on(start):
    program = start("forgiving_handler")
    assert program.read(STARTING) == "started"
    for _ in range(3):
        program.interrupt()
        assert program.read(STOPPING) == "handled"
    assert program.lines() == ["stopped", "works"]


def test_a_forked_child_is_stopped(start):
    program = start("forked")
    assert program.read(STARTING) == "started"
    program.interrupt()
    assert program.lines() == ["stopped", "works"]


def test_no_handler_is_installed_before_there_is_a_kernel_that_looks(start):
    program = start("handlers")
    assert program.read(STARTING) == "works"
    assert program.lines() == []
