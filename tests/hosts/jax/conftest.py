"""JAX in 64 bits for these tests, as it was before for all others."""

import jax
import pytest


@pytest.fixture(autouse=True)
def double_precision():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def single_precision(double_precision):
    jax.config.update("jax_enable_x64", False)
