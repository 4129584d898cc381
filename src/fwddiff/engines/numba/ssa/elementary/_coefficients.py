"""Constants of the formulas: minimax polynomials and multiples of constants in parts.

The polynomials minimise the largest error, relative to the function that they become a part of, on the
interval that arguments are reduced to (Remez's exchange algorithm, with 40 digits;
tests/engines/numba/ssa/remez.py computes them anew):

    exp    (exp(r) - 1 - r) / r²                 in r    |r| <= log(2)/2             2^-61    2^-32
    log    (log((1 + s)/(1 - s)) - 2 s) / s³     in s²   |s| <= (√2 - 1)/(√2 + 1)    2^-59    2^-30
    sin    (sin(r) - r) / r³                     in r²   |r| <= π/4                  2^-58    2^-28
    cos    (cos(r) - 1 + r²/2) / r⁴              in r²   |r| <= π/4                  2^-64    2^-33

The last two columns are the largest errors in double and single precision.
"""

from __future__ import annotations

from typing import NamedTuple


class Constants(NamedTuple):
    """Of one precision. `log2`: log(2) as a sum of two numbers, the first rounded; `log2_short` the same,
    where multiples of the first by an exponent are exact; `log10_2` the same of log10(2). `log2_e` and
    `log10_e`: 1 / log(2) and 1 / log(10) as sums. `right_angle`: π/2 as a sum of three.

    `least_exponential` and `largest_exponential` bound where exp(x) is neither 0 nor inf,
    `normal_exponential` where it has all its digits, `largest_hyperbolic` where sinh(x) is finite. From
    `flat` on, expm1(x) is exp(x) and expm1(-x) is -1, and tanh(flat / 2) is 1. `largest_angle`: up to here a
    right angle's multiples are taken off exactly.
    """

    exp: tuple[float, ...]
    log: tuple[float, ...]
    sin: tuple[float, ...]
    cos: tuple[float, ...]
    log2: tuple[float, float]
    log2_short: tuple[float, float]
    log10_2: tuple[float, float]
    log2_e: tuple[float, float]
    log10_e: tuple[float, float]
    right_angle: tuple[float, float, float]
    least_exponential: float
    normal_exponential: float
    largest_exponential: float
    largest_hyperbolic: float
    flat: float
    largest_angle: float


_hex = float.fromhex

DOUBLE = Constants(
    exp=(
        0.5,
        _hex("0x1.5555555555559p-3"),
        _hex("0x1.555555555555ap-5"),
        _hex("0x1.111111110f77cp-7"),
        _hex("0x1.6c16c16c1458ep-10"),
        _hex("0x1.a01a01afa210ap-13"),
        _hex("0x1.a01a01b070793p-16"),
        _hex("0x1.71ddf8e1e9b8bp-19"),
        _hex("0x1.27e4c61231e23p-22"),
        _hex("0x1.af5debc7b7b4cp-26"),
        _hex("0x1.1f94dc808f62fp-29"),
    ),
    log=(
        _hex("0x1.5555555555593p-1"),
        _hex("0x1.999999997fb44p-2"),
        _hex("0x1.2492494216933p-2"),
        _hex("0x1.c71c51e8d5837p-3"),
        _hex("0x1.746645fe59ea8p-3"),
        _hex("0x1.39a0f9bb93401p-3"),
        _hex("0x1.2f0d5e44518e1p-3"),
    ),
    sin=(
        _hex("-0x1.5555555555549p-3"),
        _hex("0x1.111111110f862p-7"),
        _hex("-0x1.a01a019c0e606p-13"),
        _hex("0x1.71de3574c9481p-19"),
        _hex("-0x1.ae5e63d86537fp-26"),
        _hex("0x1.5d9249e273d81p-33"),
    ),
    cos=(
        _hex("0x1.555555555554cp-5"),
        _hex("-0x1.6c16c16c15163p-10"),
        _hex("0x1.a01a019caf0a5p-16"),
        _hex("-0x1.27e4f807e6fdcp-22"),
        _hex("0x1.1ee9ea7867d68p-29"),
        _hex("-0x1.8fadd69039f55p-37"),
    ),
    log2=(_hex("0x1.62e42fefa39efp-1"), _hex("0x1.abc9e3b39803fp-56")),
    log2_short=(_hex("0x1.62e42fefa4p-1"), _hex("-0x1.8432a1b0e2634p-43")),
    log10_2=(_hex("0x1.34413509f8p-2"), _hex("-0x1.80433b83b532ap-44")),
    log2_e=(_hex("0x1.71547652b82fep+0"), _hex("0x1.777d0ffda0d24p-56")),
    log10_e=(_hex("0x1.bcb7b1526e50ep-2"), _hex("0x1.95355baaafad3p-57")),
    right_angle=(
        _hex("0x1.921fb54442d18p+0"),
        _hex("0x1.1a62633145c07p-54"),
        _hex("-0x1.f1976b7ed8fbcp-110"),
    ),
    least_exponential=-746.0,
    normal_exponential=-708.0,
    largest_exponential=709.782712893384,
    largest_hyperbolic=710.4758600739439,
    flat=40.0,
    largest_angle=2.0**30,
)

SINGLE = Constants(
    exp=(
        0.5,
        _hex("0x1.555556p-3"),
        _hex("0x1.5554b2p-5"),
        _hex("0x1.111090p-7"),
        _hex("0x1.6d7152p-10"),
        _hex("0x1.a1a082p-13"),
    ),
    log=(_hex("0x1.55557ap-1"), _hex("0x1.995e9cp-2"), _hex("0x1.31e65ap-2")),
    sin=(_hex("-0x1.555546p-3"), _hex("0x1.11075cp-7"), _hex("-0x1.994d04p-13")),
    cos=(_hex("0x1.55554ap-5"), _hex("-0x1.6c0c86p-10"), _hex("0x1.9a00e4p-16")),
    log2=(_hex("0x1.62e43p-1"), _hex("-0x1.05c61p-29")),
    log2_short=(_hex("0x1.62e4p-1"), _hex("0x1.7f7d1cp-20")),
    log10_2=(_hex("0x1.344p-2"), _hex("0x1.3509f8p-18")),
    log2_e=(_hex("0x1.715476p+0"), _hex("0x1.4ae0cp-26")),
    log10_e=(_hex("0x1.bcb7b2p-2"), _hex("-0x1.5b235ep-27")),
    right_angle=(_hex("0x1.921fb6p+0"), _hex("-0x1.777a5cp-25"), _hex("-0x1.ee59dap-50")),
    least_exponential=-104.0,
    normal_exponential=-87.0,
    largest_exponential=_hex("0x1.62e42ep+6"),
    largest_hyperbolic=_hex("0x1.65a9f8p+6"),
    flat=20.0,
    largest_angle=2.0**15,
)
CONSTANTS = {"double": DOUBLE, "float": SINGLE}
