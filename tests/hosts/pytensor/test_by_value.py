"""Wrapped functions sent by value, as cloudpickle does (PyMC, joblib and Dask use it)."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("cloudpickle")

PROGRAM = """
import functools, math, pickle, sys
import cloudpickle
import fwddiff as fd
from fwddiff import fwddiff

@fwddiff
def decorated(x): return math.tanh(x) * x
@fwddiff
def repeated(x, n):
    return x if n < 1 else 2 * repeated.target.original(x, n - 1)
def outer(c):
    @fwddiff(wrt="x")
    def inner(x): return c * x * x
    return inner
class A:
    k = 3.0
    def __init__(self, w): self.w = w
    @fwddiff
    def m(self, x): return self.w * x * A.k
square = lambda x: x * x
rule = fd.custom_rule(square, rrule=lambda x: (x * x, lambda ct: (7 * ct,)))
part = fwddiff(functools.partial(lambda a, k: k * a, k=4.0))

def gradient(operation):
    return fd.unthunk(fd.rrule(operation, 0.3)[1](1.0)[0])

slope = math.tanh(0.3) + (1 - math.tanh(0.3) ** 2) * 0.3
cases = [
    (decorated.broadcast, slope), (decorated.sum, slope), (fwddiff(square).broadcast, 0.6),
    (outer(5.0).sum, 3.0), (A(2.0).m.broadcast, 6.0), (A(2.0).m, 6.0), (rule.broadcast, 7.0),
    (part.broadcast, 4.0),
]
again = pickle.loads(cloudpickle.dumps(repeated))
assert again.target.original.__globals__["repeated"] is again
sys.stdout.buffer.write(cloudpickle.dumps((gradient, cases)))
"""

READ = """
import pickle, sys
gradient, cases = pickle.load(sys.stdin.buffer)
for operation, wanted in cases:
    found = gradient(operation)
    assert abs(found - wanted) < 1e-12, (operation, found, wanted)
print("right")
"""


def run(program, **options):
    return subprocess.run([sys.executable, *program], capture_output=True, **options)


def test_functions_of_the_main_program(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    sent = run([file])
    received = run(["-c", READ], input=sent.stdout)
    assert received.stdout.strip() == b"right", (sent.stderr + received.stderr)[-2000:].decode()
