"""Graphs: torch.compile, make_fx, export; the ways that look right and are silently wrong are traps here."""

import math

import pytest

torch = pytest.importorskip("torch")

from torch.func import grad, hessian, jacrev, jvp, vmap  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

from fwddiff import HostError, fwddiff  # noqa: E402
from fwddiff.hosts import torch as host  # noqa: E402
from fwddiff.hosts.torch import _library  # noqa: E402
from fwddiff.hosts.torch._operation import operation  # noqa: E402
from support.symbolic_rule import symbolic_rule  # noqa: E402

F64 = torch.float64
X, Y = torch.linspace(0.1, 0.9, 3, dtype=F64), torch.linspace(1, 2, 3, dtype=F64)

# What PyTorch's own compiler warns of, with native operations too.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def formula(x, y):
    return math.sin(x) * y + math.exp(x * y)


def native(x, y):
    return torch.sin(x) * y + torch.exp(x * y)


@pytest.fixture(scope="module")
def f():
    wrapped = fwddiff(formula).broadcast
    # torch.export replaces max, min and math.pow while it traces: functions are compiled before that.
    wrapped(X, Y)
    return wrapped


def backward(f, x, y):
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    (f(x, y) * y).sum().backward()
    return x.grad, y.grad


INSIDE = {
    "value": lambda f: f,
    "func.grad": lambda f: lambda x, y: grad(lambda x: f(x, y).sum())(x),
    "func.jvp": lambda f: lambda x, y: jvp(lambda x: f(x, y), (x,), (y,))[1],
    "func.vmap": lambda f: lambda x, y: vmap(f, (0, None))(x, y),
    "func.vmap of grad": lambda f: lambda x, y: vmap(grad(lambda x, y: f(x, y).sum()))(x, y),
    "func.hessian": lambda f: lambda x, y: hessian(lambda x: f(x, y).sum())(x),
    "func.jacrev of jacrev": lambda f: lambda x, y: jacrev(jacrev(f))(x, y),
}


@pytest.mark.parametrize("transformation", INSIDE)
@pytest.mark.every(2)
def test_compiled_whole(f, transformation):
    torch._dynamo.reset()
    ours = torch.compile(INSIDE[transformation](f), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(ours(X, Y), INSIDE[transformation](native)(X, Y))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_backward_of_compiled(f, backend):
    torch._dynamo.reset()
    compiled = torch.compile(f, fullgraph=True, backend=backend)
    torch.testing.assert_close(backward(compiled, X, Y), backward(native, X, Y))


def test_dynamic_shapes(f):
    torch._dynamo.reset()
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager", dynamic=True)
    for size in (3, 5, 8):
        x, y = torch.rand(size, dtype=F64), torch.rand(size, 1, dtype=F64)
        torch.testing.assert_close(backward(compiled, x, y), backward(native, x, y))


@pytest.mark.parametrize("transformation", INSIDE)
def test_make_fx_records_instead_of_freezing(f, transformation):
    graph = make_fx(INSIDE[transformation](f))(X, Y)
    torch.testing.assert_close(graph(X * 2, Y), INSIDE[transformation](native)(X * 2, Y))


@pytest.mark.parametrize("strict", [False, True])
def test_export_is_differentiable(f, strict):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(Y.clone())

        def forward(self, x):
            return f(x * 2, self.weight)

    model = Model()
    exported = torch.export.export(model, (X,), strict=strict).module()
    torch.testing.assert_close(exported(X), native(X * 2, Y))
    exported(X).sum().backward()
    weight = Y.clone().requires_grad_()
    native(X * 2, weight).sum().backward()
    torch.testing.assert_close(exported.weight.grad, weight.grad)


def library_call():
    rule = symbolic_rule("x y", "sin(x)*y + exp(x*y)")
    run, key = _library.operator(2, 1), _library.key(rule)
    return (lambda x, y: run(x, y, key, 0)), run, key


def test_library_operator_keeps_every_derivative():
    """A library operator with `register_autograd` gives a zero tangent here."""
    direct, _, _ = library_call()
    torch.testing.assert_close(backward(direct, X, Y), backward(native, X, Y))
    with torch.autograd.forward_ad.dual_level():
        seeded = torch.autograd.forward_ad.make_dual(X, Y)
        ours, theirs = (torch.autograd.forward_ad.unpack_dual(g(seeded, Y)).tangent for g in (direct, native))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("transformation", ["func.grad", "func.jvp"])
def test_library_operator_under_torch_func_raises(transformation):
    direct, _, _ = library_call()
    with pytest.raises(HostError, match="transform the function first"):
        INSIDE[transformation](direct)(X, Y)


def test_library_operator_under_vmap():
    direct, _, _ = library_call()
    torch.testing.assert_close(vmap(direct)(X, Y), native(X, Y))


def test_library_operator_passes_opcheck():
    _, run, key = library_call()
    tests = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(run, (X.clone().requires_grad_(), Y, key, 0), test_utils=tests)


def test_graph_of_another_process():
    run = _library.operator(2, 1)
    with pytest.raises(HostError, match="Import the module that defines it and call it once"):
        run(X, Y, "somebody#0", 0)


def test_jit_trace_raises():
    rule = symbolic_rule("x", "sin(x)")
    with pytest.raises(HostError, match=r"torch\.export"):
        torch.jit.trace(lambda x: host.apply(rule, [x])[0], X, check_trace=False)


def test_what_dynamo_would_trace_itself_raises():
    """Traced by Dynamo, an `autograd.Function` gives zeros under a compiled `func.grad`: never reached."""
    run = operation(symbolic_rule("x", "sin(x)"))
    with pytest.raises(Exception, match="the wrapped function itself"):
        torch.compile(lambda x: grad(lambda x: run(x)[0].sum())(x), fullgraph=True, backend="eager")(X)
