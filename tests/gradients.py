"""The gradient of a sum of outputs, as a user of each host would write it. No line of fwddiff is in here."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import numpy as np

from catalogue import flatten, float_leaves, with_floats


def torch_gradient(call: Callable, arguments: tuple) -> list[np.ndarray]:
    import torch

    tensors = [torch.tensor(value, requires_grad=True) for value in float_leaves(arguments)]
    result = call(*with_floats(arguments, tensors))
    outputs = [
        leaf for leaf in flatten(result)[0] if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
    ]
    sum(output.sum() for output in outputs).backward()
    return [np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in tensors]


def jax_gradient(call: Callable, arguments: tuple, compiled: bool = True) -> list[np.ndarray]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def total(values):
        leaves = flatten(call(*with_floats(arguments, values)))[0]
        return sum(jnp.sum(leaf) for leaf in leaves if jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating))

    gradient = jax.grad(total)
    if compiled:
        gradient = jax.jit(gradient)
    return [np.asarray(g) for g in gradient([jnp.asarray(v) for v in float_leaves(arguments)])]


def jax_eager_gradient(call: Callable, arguments: tuple) -> list[np.ndarray]:
    return jax_gradient(call, arguments, compiled=False)


def autograd_gradient(call: Callable, arguments: tuple) -> list[np.ndarray]:
    import autograd
    import autograd.numpy as anp
    from autograd.tracer import getval

    def total(*values):
        leaves = flatten(call(*with_floats(arguments, list(values))))[0]
        return sum(anp.sum(leaf) for leaf in leaves if np.asarray(getval(leaf)).dtype.kind == "f")

    values = float_leaves(arguments)
    return [np.asarray(g) for g in autograd.grad(total, tuple(range(len(values))))(*values)]


def tensorflow_gradient(call: Callable, arguments: tuple, compiled: bool = False) -> list[np.ndarray]:
    import tensorflow as tf

    def gradient(*values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            leaves = flatten(call(*with_floats(arguments, list(values))))[0]
            outputs = [leaf for leaf in leaves if isinstance(leaf, tf.Tensor) and leaf.dtype.is_floating]
        return tape.gradient(outputs, values)

    values = [tf.constant(value) for value in float_leaves(arguments)]
    run = tf.function(gradient, autograph=False) if compiled else gradient
    return [g.numpy() for g in run(*values)]


def tensorflow_graph_gradient(call: Callable, arguments: tuple) -> list[np.ndarray]:
    return tensorflow_gradient(call, arguments, compiled=True)


HOSTS = {
    "torch": ("torch", torch_gradient),
    "jax": ("jax", jax_gradient),
    "jax-eager": ("jax", jax_eager_gradient),
    "autograd": ("autograd", autograd_gradient),
    "tensorflow": ("tensorflow", tensorflow_gradient),
    "tensorflow-graph": ("tensorflow", tensorflow_graph_gradient),
}


def chosen_hosts() -> list[str]:
    """Hosts that are installed; FWDDIFF_TEST_HOSTS="torch,jax" narrows them."""
    wanted = os.environ.get("FWDDIFF_TEST_HOSTS")
    names = [name for name, (module, _) in HOSTS.items() if importlib.util.find_spec(module)]
    return names if wanted is None else [name for name in names if name.split("-")[0] in wanted.split(",")]
