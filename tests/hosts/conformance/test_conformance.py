"""The conformance matrix: every cell is equal to the host's own operations, or an error of ours that the docs
list."""

import dataclasses
import os

import pytest

from hosts.conformance import matrix
from hosts.conformance.kinds import wave

# "all" cells; or the host that an environment is for, whose other hosts are tested elsewhere.
WHAT = os.environ.get("FWDDIFF_CONFORMANCE", "")
HOSTS = [host for host in matrix.HOSTS if matrix.installed(host) and (WHAT in ("", "all") or host == WHAT)]
CELLS = [cell for host in HOSTS for cell in matrix.cells(host, WHAT == "all")]


@pytest.fixture(autouse=True)
def double_precision(request):
    """JAX in 64 bits, where the cell is JAX's; as it was before for all others."""
    parameters = request.node.callspec.params
    host = parameters["cell"].host if "cell" in parameters else parameters["host"]
    if host != "jax":
        yield
        return
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def name(cell):
    return f"{cell.host}-{cell.transformation}-{cell.kind.name}-{cell.dtype}".replace(" ", "_")


# What hosts warn of in their own operations: autograd in Hessians of polynomials, PyTorch in linearize and
# where `captured` sets the attribute that it captures.
@pytest.mark.filterwarnings("ignore:Output seems independent:UserWarning")
@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning")
@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects:UserWarning")
@pytest.mark.parametrize("cell", CELLS, ids=name)
def test_cell(cell):
    matrix.check(cell)


@pytest.mark.parametrize("host", HOSTS)
def test_a_wrong_function_is_seen(host):
    """The comparison itself: a function that is a little wrong fails its cells."""
    cell = next(c for c in matrix.cells(host) if c.kind.name == "broadcast" and "rad" in c.transformation)
    with pytest.raises(AssertionError):
        matrix.check(cell._replace(kind=dataclasses.replace(cell.kind, ours=almost)))


def almost(a, b):
    return wave.broadcast(a, b) * 1.001
