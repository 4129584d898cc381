"""Import this before programs of another process are called: `import fwddiff.hosts.jax.exported`.

Programs that `jax.export` wrote, and those of JAX's compilation cache, then find the kernels that they call.
"""

from fwddiff.hosts.jax import load_kernels

load_kernels()
