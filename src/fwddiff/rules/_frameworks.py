"""What elementwise functions of frameworks mean: functions of Python's, NumPy's, or of `_activations`.

A framework is never imported here: a function of its can only come from who imported it.
"""

import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fwddiff.rules import _activations as own
from fwddiff.rules import _callables

_NUMPY = """abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt ceil copysign cos cosh
deg2rad degrees divide exp exp2 expm1 fabs floor fmax fmin fmod heaviside hypot isfinite isinf isnan log
log10 log1p log2 logaddexp logaddexp2 maximum minimum multiply negative positive rad2deg radians reciprocal
rint sign signbit sin sinc sinh sqrt square subtract tan tanh trunc where"""
_OPERATORS = """eq equal=eq ne not_equal=ne lt less=lt le less_equal=le gt greater=gt ge greater_equal=ge
pow power=pow floor_divide=floordiv floordiv remainder=mod mod floormod=mod"""
_RENAMED = """acos=arccos acosh=arccosh asin=arcsin asinh=arcsinh atan=arctan atanh=arctanh atan2=arctan2
neg=negative mul=multiply sub=subtract div=divide true_divide=divide truediv=divide round=rint fix=trunc
is_nan=isnan is_inf=isinf is_finite=isfinite max=maximum min=minimum sgn=sign"""


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """(name, meaning) of words `name=meaning` or `name`, which mean themselves."""
    for item in text.split():
        name, _, meaning = item.partition("=")
        yield name, meaning or name


# By the name that most frameworks use. Where one means something else, `_MODULES` says so.
MEANINGS: dict[str, Callable] = {name: getattr(np, name) for name in _NUMPY.split()}
MEANINGS |= {name: MEANINGS[theirs] for name, theirs in _pairs(_RENAMED)}
MEANINGS |= {name: getattr(operator, theirs) for name, theirs in _pairs(_OPERATORS)}
MEANINGS |= {name: f for name, f in vars(own).items() if getattr(f, "__module__", "") == own.__name__}
_OF_ROWS = {"erf": "erf", "erfc": "erfc", "lgamma": "lgamma", "gammaln": "lgamma", "digamma": "digamma"}
MEANINGS |= {name: _callables.functions_of(row)[0] for name, row in _OF_ROWS.items()}
MEANINGS |= {"logistic": own.sigmoid, "expit": own.sigmoid, "swish": own.silu, "psi": MEANINGS["digamma"]}

_UNARY = """abs ceil cos cosh exp expm1 floor log log1p neg=negative round=rint rsqrt sign sin sinh sqrt
square tan tanh asin=arcsin asinh=arcsinh acos=arccos acosh=arccosh atan=arctan atanh=arctanh erf erfc lgamma
digamma"""
_TORCH = (
    _UNARY
    + """ absolute negative positive exp2 log2 log10 trunc fix=trunc reciprocal sigmoid relu sinc deg2rad
rad2deg arcsin arcsinh arccos arccosh arctan arctanh atan2=arctan2 arctan2 add sub=subtract subtract
mul=multiply multiply div=divide divide true_divide=divide pow remainder fmod floor_divide maximum minimum
fmax fmin hypot copysign heaviside logaddexp logaddexp2 xlogy logit lerp where clamp clip=clamp clamp_min
clamp_max eq ne lt le gt ge less less_equal greater greater_equal not_equal isnan isinf isfinite signbit"""
)
_TENSORFLOW = (
    _UNARY
    + """ negative reciprocal rint sigmoid softplus softsign log_sigmoid xlogy atan2=arctan2 add subtract
multiply divide truediv=divide pow floordiv mod floormod=mod maximum minimum equal not_equal less
less_equal greater greater_equal is_nan=isnan is_inf=isinf is_finite=isfinite"""
)
_MODULES: dict[str, str] = {
    "jax.numpy": f"""abs=abs_jax absolute=abs_jax fabs=abs_jax {_NUMPY} acos=arccos acosh=arccosh
asin=arcsin asinh=arcsinh atan=arctan atanh=arctanh atan2=arctan2 true_divide=divide float_power=pow pow
power floor_divide remainder mod round=rint fix=trunc clip equal not_equal less less_equal greater
greater_equal zeros_like ones_like""",
    "jax.nn": """relu relu6 sigmoid softplus soft_sign=softsign silu swish log_sigmoid leaky_relu hard_tanh
elu celu selu gelu=gelu_tanh mish""",
    "jax.lax": f"""abs=abs_jax {_UNARY} exp2 cbrt logistic max=maximum min=minimum add sub=subtract
mul=multiply pow atan2=arctan2 integer_pow clamp=clamp_lax reciprocal is_finite=isfinite""",
    "jax.scipy.special": "expit logit erf erfc gammaln digamma xlogy",
    "torch": _TORCH,
    "torch.special": "expit logit erf erfc gammaln digamma psi xlogy exp2 expm1 log1p sinc round=rint",
    "torch.nn.functional": """relu relu6 leaky_relu=leaky_relu_torch elu celu selu silu mish gelu softsign
softplus=softplus_torch logsigmoid=log_sigmoid sigmoid tanh tanhshrink hardtanh=hardtanh_torch""",
    "tensorflow": f"{_TENSORFLOW} where clip_by_value zeros_like ones_like",
    "tensorflow.math": _TENSORFLOW,
    "tensorflow.nn": """relu relu6 leaky_relu=leaky_relu_tensorflow elu selu silu swish gelu softplus
softsign sigmoid tanh""",
    "mlx.core": f"""{_UNARY} negative log2 log10 reciprocal sigmoid arcsin arccos arctan arcsinh arccosh
arctanh arctan2 add subtract multiply divide power maximum minimum logaddexp remainder floor_divide where
equal not_equal less less_equal greater greater_equal isnan isinf isfinite""",
}
FRAMEWORKS = frozenset(name.partition(".")[0] for name in _MODULES) | {"jaxlib", "autograd", "pytensor"}

_found: dict[int, tuple[Any, Callable]] = {}
_indexed: set[str] = set()


def elementwise(value: Any) -> Callable | None:
    """The function of numbers that a framework's function means; `None` for anything else."""
    if not callable(value) or isinstance(value, type | np.ufunc):
        return None
    if getattr(value, "__module__", None) == "autograd.tracer":  # a primitive of autograd's
        return getattr(value, "fun", None) if isinstance(getattr(value, "fun", None), np.ufunc) else None
    for module in _MODULES.keys() - _indexed:
        _index(module)
    known, meaning = _found.get(id(value), (None, None))
    return meaning if known is value else None


def is_frameworks(value: Any) -> bool:
    """Whether this is a function of a framework's."""
    if not callable(value) or isinstance(value, type):
        return False
    return (getattr(value, "__module__", None) or "").partition(".")[0] in FRAMEWORKS


def tensor_methods() -> dict[str, Callable]:
    """What elementwise methods of tensors mean."""
    return dict(named(_TORCH))


def named(text: str) -> Iterator[tuple[str, Callable]]:
    """(name, function of numbers) of a list of names."""
    return ((name, MEANINGS[meaning]) for name, meaning in _pairs(text))


def _index(module: str) -> None:
    """Find the functions of a module, once it is loaded."""
    top, *rest = module.split(".")
    found = sys.modules.get(module) if top != "tensorflow" else sys.modules.get(top)
    if found is None:
        return
    for part in rest if top == "tensorflow" else ():  # loaded when asked for, under other names
        found = getattr(found, part, None)
    for name, meaning in named(_MODULES[module]):
        theirs = getattr(found, name, None)
        if theirs is not None:
            _found.setdefault(id(theirs), (theirs, meaning))  # a module's own meaning comes first
    _indexed.add(module)
