"""(h) One training step of a recurrent layer, float32, whose pointwise part is one function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.harness.case import Case, Contestant, Run
from fwddiff import fwddiff


def logistic(x):
    return 1 / (1 + math.exp(-x))


@fwddiff
def lstm_pointwise(i, f, g, o, c):
    memory = logistic(f) * c + logistic(i) * math.tanh(g)
    return logistic(o) * math.tanh(memory), memory


@fwddiff
def gru_pointwise(xr, xz, xn, hr, hz, hn, h):
    reset, update = logistic(xr + hr), logistic(xz + hz)
    return (1 - update) * math.tanh(xn + reset * hn) + update * h


# A cell maps (input gates, hidden gates, state) to (hidden, state); a GRU's state is what is hidden.


def lstm_by_fwddiff(x, h, c):
    return lstm_pointwise.broadcast(*(x + h).chunk(4, 1), c)


def lstm_by_torch(x, h, c):
    i, f, g, o = (x + h).chunk(4, 1)
    memory = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def gru_by_fwddiff(x, h, state):
    return (gru_pointwise.broadcast(*x.chunk(3, 1), *h.chunk(3, 1), state),) * 2


def gru_by_torch(x, h, state):
    (xr, xz, xn), (hr, hz, hn) = x.chunk(3, 1), h.chunk(3, 1)
    reset, update = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return ((1 - update) * (xn + reset * hn).tanh() + update * state,) * 2


def lstm_by_jax(x, h, c):
    import jax
    from jax import numpy as jnp

    i, f, g, o = jnp.split(x + h, 4, 1)
    memory = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(memory), memory


def gru_by_jax(x, h, state):
    import jax
    from jax import numpy as jnp

    (xr, xz, xn), (hr, hz, hn) = jnp.split(x, 3, 1), jnp.split(h, 3, 1)
    reset, update = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
    return ((1 - update) * jnp.tanh(xn + reset * hn) + update * state,) * 2


def lstm_by_fwddiff_in_jax(x, h, c):
    from jax import numpy as jnp

    return lstm_pointwise.broadcast(*jnp.split(x + h, 4, 1), c)


def gru_by_fwddiff_in_jax(x, h, state):
    from jax import numpy as jnp

    return (gru_pointwise.broadcast(*jnp.split(x, 3, 1), *jnp.split(h, 3, 1), state),) * 2


def no_cell(x, h, state):
    """Costs nearly nothing: what remains of a step are the matrix products, and what they keep."""
    return (x + h)[:, : state.shape[1]], state


CELLS = {
    "LSTM": (lstm_by_fwddiff, lstm_by_torch, lstm_by_fwddiff_in_jax, lstm_by_jax),
    "GRU": (gru_by_fwddiff, gru_by_torch, gru_by_fwddiff_in_jax, gru_by_jax),
}


def cases(quick: bool) -> Iterator[Case]:
    batch, hidden, steps = (32, 64, 8) if quick else (256, 512, 64)
    data = np.random.default_rng(0).standard_normal((steps, batch, hidden), np.float32)
    for kind, cells in CELLS.items():
        found = [*in_torch(kind, cells[:2], data, not quick), *in_jax(kind, cells[2:], data, not quick)]
        yield Case("h", f"{kind} layer", f"batch {batch}, hidden {hidden}, {steps} steps", found, 1e-3)


def in_torch(kind: str, cells: Sequence[Callable], data: np.ndarray, memory: bool) -> list[Contestant]:
    makers = {
        "fwddiff in PyTorch": lambda: train(kind, gated(cells[0]), data),
        "torch eager cell": lambda: train(kind, gated(cells[1]), data),
        f"torch's {kind} cell": lambda: train(kind, framework_cell(kind), data),
        f"torch.nn.{kind}": lambda: train_whole(kind, data),
    }
    found = [Contestant(name, make, "in PyTorch", memory, "gradient") for name, make in makers.items()]
    floor = Contestant(
        "products alone", lambda: train(kind, gated(no_cell), data), "in PyTorch", memory, "floor"
    )
    return [*found, floor]


def in_jax(kind: str, cells: Sequence[Callable], data: np.ndarray, memory: bool) -> list[Contestant]:
    makers = {
        "fwddiff in JAX": lambda: train_in_jax(kind, cells[0], data),
        "jax scan": lambda: train_in_jax(kind, cells[1], data),
    }
    return [Contestant(name, make, "in JAX", memory, "gradient") for name, make in makers.items()]


def gated(cell: Callable) -> Callable:
    """One step of a layer `own`, the pointwise part of which is `cell`."""
    from torch.nn.functional import linear

    def step(own, x, hidden, state):
        from_input = linear(x, own.weight_ih_l0, own.bias_ih_l0)
        return cell(from_input, linear(hidden, own.weight_hh_l0, own.bias_hh_l0), state)

    return step


def framework_cell(kind: str) -> Callable:
    import torch

    def step(own, x, hidden, state):
        weights = own.weight_ih_l0, own.weight_hh_l0, own.bias_ih_l0, own.bias_hh_l0
        if kind == "LSTM":
            return torch.lstm_cell(x, (hidden, state), *weights)
        return (torch.gru_cell(x, hidden, *weights),) * 2

    return step


def layer(kind: str, hidden: int) -> Any:
    """PyTorch's own layer, whose parameters all contestants use."""
    import torch

    torch.manual_seed(0)
    return getattr(torch.nn, kind)(hidden, hidden)


def train(kind: str, step: Callable, data: np.ndarray) -> Run:
    import torch

    own, inputs = layer(kind, data.shape[2]), torch.from_numpy(data)
    parameters = list(own.parameters())

    def run() -> Any:
        state = hidden = torch.zeros(inputs.shape[1:])
        loss = torch.zeros(())
        for x in inputs:
            hidden, state = step(own, x, hidden, state)
            loss = loss + hidden.square().sum()
        return torch.autograd.grad(loss, parameters)

    return run


def train_whole(kind: str, data: np.ndarray) -> Run:
    import torch

    own, inputs = layer(kind, data.shape[2]), torch.from_numpy(data)
    parameters = list(own.parameters())
    return lambda: torch.autograd.grad(own(inputs)[0].square().sum(), parameters)


def train_in_jax(kind: str, cell: Callable, data: np.ndarray) -> Run:
    """The same loss as in `train`, of one `lax.scan` over the inputs."""
    import jax
    from jax import numpy as jnp

    inputs = jnp.asarray(data)
    parameters = [jnp.asarray(p.detach().numpy()) for p in layer(kind, data.shape[2]).parameters()]

    def loss(parameters, inputs):
        weight, hidden_weight, bias, hidden_bias = parameters

        def step(carried, x):
            hidden, state = cell(x @ weight.T + bias, carried[0] @ hidden_weight.T + hidden_bias, carried[1])
            return (hidden, state), jnp.square(hidden).sum()

        start = jnp.zeros_like(inputs[0])
        return jax.lax.scan(step, (start, start), inputs)[1].sum()

    gradient = jax.jit(jax.grad(loss))
    return lambda: jax.block_until_ready(gradient(parameters, inputs))
