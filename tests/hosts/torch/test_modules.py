"""Around a call: modules, copies, threads, worker processes, interrupts, errors, memory."""

import copy
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

torch = pytest.importorskip("torch")

from fwddiff import fwddiff  # noqa: E402

F64 = torch.float64
X = torch.linspace(0.5, 2.0, 4, dtype=F64)


@fwddiff
def cube(x, y):
    return x * x * x * y


class Layer(torch.nn.Module):
    """A decorated method, and a wrapped bound one; both use a parameter of the module."""

    def __init__(self, weight=1.5):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight, dtype=F64))

    @fwddiff
    def scaled(self, x):
        return x * self.weight * self.weight

    def forward(self, x):
        return self.scaled.broadcast(x)


def test_parameter_of_a_module():
    layer = Layer()
    layer(X).sum().backward()
    torch.testing.assert_close(layer.weight.grad, 2 * layer.weight.detach() * X.sum())


def test_method_is_wrapped_once_per_object():
    layer, other = Layer(), Layer(2.0)
    assert layer.scaled is layer.scaled
    assert layer.scaled is not other.scaled
    torch.testing.assert_close(other(X), X * 4.0)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_a_module_use_their_own_parameter(duplicate):
    layer = Layer()
    layer(X)
    other = duplicate(layer)
    other.weight = torch.nn.Parameter(torch.tensor(3.0, dtype=F64))
    torch.testing.assert_close(other(X), X * 9.0)
    torch.testing.assert_close(layer(X), X * 2.25)


class Bare:
    def __init__(self, weight):
        self.weight = weight

    @fwddiff
    def scaled(self, x):
        return x * self.weight


def test_shallow_copies_use_their_own_attributes():
    bare = Bare(torch.tensor(2.0, dtype=F64))
    torch.testing.assert_close(bare.scaled.broadcast(X), X * 2)
    other = copy.copy(bare)
    other.weight = torch.tensor(3.0, dtype=F64)
    torch.testing.assert_close(other.scaled.broadcast(X), X * 3)


def test_training_step_changes_the_result():
    layer = Layer()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        layer(X).sum().backward()
        optimizer.step()
        torch.testing.assert_close(layer(X), X * layer.weight.detach() ** 2)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_of_a_function(duplicate):
    torch.testing.assert_close(duplicate(Plain()).cube.broadcast(X, X), X**4)


class Plain:
    def __init__(self):
        self.cube = cube


def test_two_threads_of_backward_passes():
    wrong = []

    def work(number):
        for step in range(1000):
            x = torch.full((8,), 1.0 + number + step / 1000, dtype=F64, requires_grad=True)
            cube.broadcast(x, 2.0).sum().backward()
            if not torch.allclose(x.grad, 6 * x * x):
                wrong.append((number, step))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        x = torch.full((3,), float(index), dtype=F64, requires_grad=True)
        cube.broadcast(x, 2.0).sum().backward()
        return x.grad


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX, where other tests imported it
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.few(method=["fork"])
def test_workers_of_a_data_loader(method):
    cube.broadcast(X, X)
    loader = torch.utils.data.DataLoader(Rows(), batch_size=2, num_workers=2, multiprocessing_context=method)
    index = torch.arange(4.0, dtype=F64)
    torch.testing.assert_close(torch.cat(list(loader)), (6 * index * index)[:, None].expand(4, 3))


def test_many_calls_keep_no_memory():
    x = X.clone().requires_grad_()

    def calls(count):
        for _ in range(count):
            cube.broadcast(x, 2.0)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = calls(10_000)
    assert calls(40_000) - before < 1_600  # kB: 40 bytes per call


def test_many_shapes_keep_bounded_memory():
    host_rule = cube.broadcast.prepare(X, X).rule
    for size in range(1, 1200):
        cube.broadcast(torch.ones(size, dtype=F64), 2.0)
    assert len(cube.caller.find()[0].ways) <= 1000
    assert len(vars(host_rule).get("_torch_launches", ())) <= 1000


def run_python(source):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.slow
def test_interrupt_of_a_long_kernel():
    # A shell that starts the tests in the background makes them ignore the signal, and children inherit that.
    with run_python("""
        import signal
        import torch
        from fwddiff import fwddiff

        signal.signal(signal.SIGINT, signal.default_int_handler)

        def slow(x):
            for _ in range(400):
                x = x + x * 1e-9
            return x

        f = fwddiff(slow).broadcast
        x = torch.ones(4_000_000, dtype=torch.float64)
        f(x[:4])
        try:
            print("ready", flush=True)
            for _ in range(1000):
                f(x)
        except KeyboardInterrupt:
            print("interrupted", float(f(x[:4])[0]) > 1.0, flush=True)
    """) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted True\n"
        assert process.wait(60) == 0


def guarded(x, n):
    if x > 1.5:
        raise ValueError("too large for this model")
    return x / n


@pytest.mark.parametrize("requires_grad", [False, True])
def test_exceptions_of_kernels_arrive(requires_grad):
    f = fwddiff(guarded).broadcast
    for _ in range(2):
        with pytest.raises(ValueError, match="too large for this model"):
            f(X.clone().requires_grad_(requires_grad), 2)
    x = X[:2].clone().requires_grad_(requires_grad)
    torch.testing.assert_close(f(x, 2).detach(), X[:2] / 2)


def test_exception_in_the_backward_pass():
    """The pullback runs the function again: what its inputs became in between is its own error."""
    x = X[:2].clone()
    weight = torch.ones(2, dtype=F64, requires_grad=True)
    result = fwddiff(lambda x, w: guarded(x, 2) * w, mode="recompute").broadcast(x, weight)
    x.data.fill_(9.0)  # `.data` hides the write from PyTorch's version check
    with pytest.raises(ValueError, match="too large for this model"):
        result.sum().backward()
