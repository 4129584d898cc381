"""`torch.export`, saved here and loaded in another process: the graph finds its function by content."""

import importlib
import os
import subprocess
import sys
import textwrap

import pytest

torch = pytest.importorskip("torch")

MODULE = """
import dataclasses, math, sys, torch
from fwddiff import HostError, fwddiff

@dataclasses.dataclass
class Exponential:
    theta: object

def log_density(model, x):
    return -math.log(model.theta) - x / model.theta

density = fwddiff(log_density).broadcast
X = torch.linspace(0.5, 2.0, 4, dtype=torch.float64)

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.linspace(1.0, 2.0, 4, dtype=torch.float64))

    def forward(self, x):
        return density(Exponential(self.theta), x)
"""
LOAD = """
from exported import *
other = fwddiff(lambda x, y: x * y)  # an operator of as many tensors, and another function
other.broadcast(X, X)
loaded = torch.export.load(sys.argv[1]).module()
try:
    loaded(X)
except HostError as error:
    print("Import the module that defines it and call it once" in str(error), "log_density" in str(error))
density(Exponential(X), X)
value = loaded(X)
theta = Model().theta
expected = -torch.log(theta) - X / theta
torch.testing.assert_close(value, expected)
value.sum().backward()
expected.sum().backward()
torch.testing.assert_close(loaded.theta.grad, theta.grad)
print("same")
"""


def run(folder, source):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(source), str(folder / "model.pt2")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_another_process(tmp_path, monkeypatch):
    (tmp_path / "exported.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    exported = importlib.import_module("exported")
    exported.density(exported.Exponential(exported.X), exported.X)
    program = torch.export.export(exported.Model(), (exported.X,), strict=False)
    torch.export.save(program, tmp_path / "model.pt2")
    del sys.modules["exported"]
    assert run(tmp_path, LOAD) == "True True\nsame\n"
