"""Divided calls run on the threads that PyTorch's own operations use."""

import math
import multiprocessing
import os
import threading

import numpy as np
import pytest
import torch

from fwddiff import fwddiff
from fwddiff._native import tasks
from fwddiff.hosts.torch import _team

TASKS = "/proc/self/task"
pytestmark = pytest.mark.skipif(not os.path.isdir(TASKS), reason="counts threads as Linux shows them")


@fwddiff
def waves(x):
    total = 0.0
    for k in range(1, 40):
        total += math.sin(k * x) / k
    return total


X = torch.linspace(0.1, 3.0, 400_000, dtype=torch.float64)


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def expected(x):
    k = np.arange(1.0, 40.0)[:, None]
    return np.cos(k * x.numpy()).sum(0)


def threads_started():
    """Threads that are there only while a gradient is computed."""
    x = X.clone().requires_grad_()

    def gradient():
        return torch.autograd.grad(waves.broadcast(x).sum(), x)[0]

    np.testing.assert_allclose(gradient(), expected(X), rtol=1e-9, atol=1e-9)
    before, seen, done = set(os.listdir(TASKS)), set(), threading.Event()

    def watch():
        while not done.is_set():
            seen.update(os.listdir(TASKS))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(5):
        gradient()
    done.set()
    watcher.join()
    return seen - before - {str(watcher.native_id)}


def test_a_divided_call_starts_no_threads():
    assert _team.threads() == -2
    assert not threads_started()


def test_without_a_team_threads_are_started(monkeypatch):
    monkeypatch.setattr(_team, "_has_team", lambda: False)
    assert _team.threads() == 2
    assert threads_started()


def in_child(queue):
    """PyTorch's own sum would not end here."""
    queue.put((int(tasks._cells[2]), float(waves.broadcast(X).numpy().sum())))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX, where other tests imported it
def test_a_forked_process_starts_threads_of_its_own():
    """OpenMP's team is gone there, and waiting for it would never end."""
    total = float(waves.broadcast(X).sum())
    assert tasks._cells[2] != 0
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(queue,))
    child.start()
    team, found = queue.get(timeout=60)
    child.join(60)
    assert team == 0
    assert math.isclose(found, total, rel_tol=1e-12)
