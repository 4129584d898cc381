"""Functions of numbers that frameworks have by name and NumPy has not, as scalar code.

At a kink the slope is that of the framework: where two disagree, each has its own.
"""

import math

import numpy as np

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def sigmoid(x):
    """By the exponential that cannot overflow."""
    if x >= 0:
        return 1 / (1 + np.exp(-x))
    small = np.exp(x)
    return small / (1 + small)


def softplus(x):
    return np.logaddexp(x, 0.0)


def softplus_torch(x, beta=1.0, threshold=20.0):
    return x if x * beta > threshold else np.log1p(np.exp(x * beta)) / beta


def log_sigmoid(x):
    return -np.logaddexp(-x, 0.0)


def relu(x):
    """Slope 0 at 0; nan stays."""
    return 0.0 * abs(x) if x <= 0 else x


def relu6(x):
    """Slope 0 at both ends."""
    return hardtanh_torch(x, 0.0, 6.0)


def abs_jax(x):
    """Slope 1 at 0."""
    return x if x >= 0 else -x


def leaky_relu(x, negative_slope=0.01):
    return x if x >= 0 else negative_slope * x


def leaky_relu_torch(x, negative_slope=0.01):
    return negative_slope * x if x <= 0 else x


def leaky_relu_tensorflow(features, alpha=0.2):
    return alpha * features if features <= 0 else features


def elu(x, alpha=1.0):
    return alpha * np.expm1(x) if x <= 0 else x


def celu(x, alpha=1.0):
    return alpha * np.expm1(x / alpha) if x <= 0 else x


def selu(x):
    return _SELU_SCALE * (_SELU_ALPHA * np.expm1(x) if x <= 0 else x)


def silu(x):
    return x * sigmoid(x)


def mish(x):
    return x * np.tanh(softplus(x))


def gelu(x):
    return x * (math.erfc(-x * 0.7071067811865476) / 2)


def gelu_tanh(x):
    return x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))) / 2


def softsign(x):
    return x / (1 + abs(x))


def tanhshrink(x):
    return x - np.tanh(x)


def hard_tanh(x):
    """Slope 1 at both ends."""
    return clamp(x, -1.0, 1.0)


def hardtanh_torch(x, min_val=-1.0, max_val=1.0):
    """Slope 0 at both ends."""
    if x <= min_val:
        return min_val + 0.0 * x
    return max_val + 0.0 * x if x >= max_val else x


def rsqrt(x):
    return 1 / np.sqrt(x)


def logit(x):
    return np.log(x / (1 - x))


def xlogy(x, y):
    return x * 0.0 if x == 0 and y == y else x * np.log(y)


def clamp(x, min=None, max=None):
    """Slope 1 at the limits."""
    if min is not None and x < min:
        x = min + 0.0 * x
    if max is not None and x > max:
        x = max + 0.0 * x
    return x


def clamp_min(x, min):
    return min + 0.0 * x if x < min else x


def clamp_max(x, max):
    return max + 0.0 * x if x > max else x


def clamp_lax(min, x, max):
    return np.minimum(np.maximum(x, min), max)


def clip(x, min=None, max=None):
    """Slope 1/2 at the limits."""
    if min is not None:
        x = np.maximum(x, min)
    if max is not None:
        x = np.minimum(x, max)
    return x


def clip_by_value(t, clip_value_min, clip_value_max):
    return clamp(t, clip_value_min, clip_value_max)


def lerp(start, end, weight):
    return start + weight * (end - start)


def integer_pow(x, y):
    return x**y


def zeros_like(x):
    return 0.0


def ones_like(x):
    return 1.0
