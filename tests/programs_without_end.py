"""Programs whose kernels never end, each started by its name: `test_interrupts.py` sends them SIGINT.

Each says "started" ahead of the call that does not end, and in the end what became of it.
"""

# PyTensor is an extra, which type checkers do not find.
# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

import numpy as np

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff._native import interrupts

# Shells start what runs in the background with SIGINT ignored, which children inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@fwddiff
def waiting(x):
    """Ends at once for x above 0, never below."""
    s = x
    while s < 1.0:
        s = s * 0.5 + (1.5 if x > 0.0 else 0.0)
    return s * x


def spin(x):
    while x < 1.0:
        x = x * 0.5
    return x


@fwddiff
def in_helper(x):
    try:
        y = spin(x)
    except Exception:
        y = 7.0
    return y * x


@fwddiff
def of_array(x):
    k = 0
    while x[k] < 1.0:
        k = (k + 1) % x.shape[0]
    return x[k] * x[0]


FINE, STUCK = np.array([0.5, 2.0, 0.25]), np.array([0.5, -1.0, 2.0])


def values(function, x):
    return function.broadcast(x)


def gradient(function, x):
    y, back = fd.rrule(function.broadcast, x)
    return np.asarray(fd.unthunk(back(np.ones_like(y))[0]))


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def started() -> None:
    say("started")


def expect_interruption(call, fine) -> None:
    """The call that ends works before and after the one that is stopped."""
    before = fine()
    started()
    try:
        call()
    except KeyboardInterrupt:
        say("stopped")
    np.testing.assert_array_equal(fine(), before)
    say("works")


def value() -> None:
    one = np.full((), -1.0)
    expect_interruption(lambda: values(waiting, one), lambda: values(waiting, np.full((), 2.0)))


def lanes() -> None:
    x = np.full(100, 0.5)
    x[37] = -1.0
    expect_interruption(lambda: values(waiting, x), lambda: values(waiting, abs(x)))


def strided() -> None:
    x = np.full(200, 0.5)[::2]
    x[37] = -1.0
    expect_interruption(lambda: values(waiting, x), lambda: values(waiting, abs(x)))


def threads() -> None:
    x = np.full(100_000, 0.5)
    x[::1000] = -1.0
    expect_interruption(lambda: gradient(waiting, x), lambda: gradient(waiting, abs(x)))


def derivative() -> None:
    expect_interruption(lambda: gradient(waiting, STUCK), lambda: gradient(waiting, FINE))


def operators() -> None:
    function = fd.gradient(waiting)
    expect_interruption(lambda: function(-1.0), lambda: function(2.0))


def caught() -> None:
    """`except Exception` catches no KeyboardInterrupt."""
    expect_interruption(lambda: gradient(in_helper, STUCK), lambda: gradient(in_helper, 1.5 + FINE))


def array() -> None:
    function = fd.gradient(of_array)
    expect_interruption(lambda: function(STUCK - 2.0), lambda: function(STUCK))


def by_another_program() -> None:
    """The function that PyTensor's programs, compiled by Numba, call for each element."""
    import numba

    function = waiting.broadcast.prepare(FINE).rule.scalar_function()
    called = numba.njit(lambda x: function(x)[0])
    expect_interruption(lambda: called(-1.0), lambda: called(2.0))


def torch_backward() -> None:
    import torch

    def run(x):
        given = torch.tensor(x, requires_grad=True)
        waiting.broadcast(given).sum().backward()
        return np.asarray(given.grad)

    expect_interruption(lambda: run(STUCK), lambda: run(FINE))


def jax_jit() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    compiled = jax.jit(jax.grad(lambda x: waiting.broadcast(x).sum()))

    def stuck():
        """XLA's error comes first, and `KeyboardInterrupt` as soon as Python code runs."""
        try:
            compiled(STUCK).block_until_ready()
        except ValueError as error:
            text = str(error)
            time.sleep(1)
            say(text, "alone")

    expect_interruption(stuck, lambda: compiled(FINE).block_until_ready())


def pytensor_program() -> None:
    """Elementwise, where our function is part of PyTensor's loop, and a kernel for a whole array."""
    import pytensor
    import pytensor.tensor as pt

    x = pt.vector("x")
    elementwise, whole = waiting.broadcast(x), of_array(x)
    run = pytensor.function([x], [elementwise, pt.grad(elementwise.sum(), x)], mode="NUMBA")
    with contextlib.suppress(KeyboardInterrupt):
        run(FINE)
        started()
        run(STUCK)
    run(FINE)
    run = pytensor.function([x], [whole, pt.grad(whole, x)], mode="NUMBA")
    expect_interruption(lambda: run(STUCK - 2.0), lambda: run(STUCK)[1])


def own_handler() -> None:
    """A handler that raises another exception, set once kernels are there."""

    class Enough(Exception):
        pass

    def handler(number, frame):
        say("handled")
        raise Enough

    before = gradient(waiting, FINE)
    signal.signal(signal.SIGINT, handler)
    time.sleep(0.01)
    started()
    try:
        gradient(waiting, STUCK)
    except Enough:
        say("stopped")
    np.testing.assert_array_equal(gradient(waiting, FINE), before)
    say("works")


def forgiving_handler() -> None:
    """A handler that lets the program go on: the call starts again, until the third Ctrl-C."""
    count = []

    def handler(number, frame):
        count.append(number)
        say("handled")
        if len(count) == 3:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handler)
    expect_interruption(lambda: gradient(waiting, STUCK), lambda: gradient(waiting, FINE))


def handler_again() -> None:
    """Jupyter sets Python's handler anew for every cell."""
    gradient(waiting, FINE)
    for _ in range(3):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gradient(waiting, FINE)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        time.sleep(0.01)
    expect_interruption(lambda: gradient(waiting, STUCK), lambda: gradient(waiting, FINE))


def earlier() -> None:
    """A Ctrl-C ahead of a call does not stop it."""
    fine = gradient(waiting, FINE)
    started()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        say("stopped")
    np.testing.assert_array_equal(gradient(waiting, FINE), fine)
    thread = threading.Thread(target=lambda: say("works" * bool(np.all(gradient(waiting, FINE) == fine))))
    thread.start()
    thread.join()


def other_thread() -> None:
    """A kernel on another thread stops too: the process could not end."""
    gradient(waiting, FINE)

    def work() -> None:
        try:
            gradient(waiting, STUCK)
        except KeyboardInterrupt:
            say("stopped")

    thread = threading.Thread(target=work)
    thread.start()
    started()
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(60)
    thread.join()
    say("works")


def forked() -> None:
    """A child of a process with kernels."""
    fine = gradient(waiting, FINE)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        expect_interruption(lambda: gradient(waiting, STUCK), lambda: gradient(waiting, FINE))
        os._exit(0)
    # The child has its parent's group: both get the signal.
    while True:
        try:
            os.waitpid(child, 0)
            break
        except KeyboardInterrupt:
            os.kill(child, signal.SIGINT)
    np.testing.assert_array_equal(gradient(waiting, FINE), fine)


def handlers() -> None:
    """Importing installs nothing, and neither do functions that end by themselves."""
    before = interrupts.c_handler()
    gradient(fwddiff(lambda x: x * x), FINE)
    assert interrupts.c_handler() == before
    gradient(waiting, FINE)
    assert interrupts.c_handler() != before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    say("works")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
