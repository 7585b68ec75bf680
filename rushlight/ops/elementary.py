"""Functions of one number: exponentials, logarithms, trigonometry, rounding."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.meta import Meta
from ..trace.operator import Tensor, function, op
from ..trace.tensor import array, wrap
from . import rules
from .pointwise import ARITHMETIC, clamp, conj_of, pow, where


@rules.cached
def _neg_rule(input: Meta) -> Meta:
    if input.dtype is dtypes.bool_:
        rules.fail(
            RuntimeError,
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead.",
        )
    return rules.same(input)


@op(_neg_rule, gradient={"input": lambda g: -g}, aliases=("negative",), **ARITHMETIC)
def neg(input: Tensor):
    """`-input`."""
    return np.negative(input)


@function()
def positive(input: Tensor):
    """`input` itself; RuntimeError for bool."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


@rules.cached
def _abs_rule(input: Meta) -> Meta:
    return rules.like(input, dtype=input.dtype.to_real())


@op(
    rules.only(_abs_rule, "abs_cpu", dtypes.INTEGER),
    gradient={"input": lambda g, input: g * sgn(input)},
    aliases=("absolute",),
    inplace=True,
)
def abs(input: Tensor):
    """The absolute value; the modulus of complex numbers."""
    return np.absolute(input)


@op(
    rules.same,
    gradient={"input": lambda g, input_meta: g * 0.0},
    inplace=True,
)
def sign(input: Tensor):
    """-1, 0 or 1 with the sign of each element."""
    if input.dtype.kind == "c":
        raise NotImplementedError(
            "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn"
        )
    if input.dtype.kind == "b":
        return input.copy()
    return np.where(np.isnan(input), input.dtype.type(0), np.sign(input))


def _sgn_gradient(g, input, out):
    if not input.is_complex():
        return g * 0.0
    size = abs(input)
    inner = (g / size - (real_part(g / out) * out / size)) / 2.0
    del inner
    return where(size == 0, 0.0, (g - real_part(g.conj() * out) * out) / size)


def real_part(t):
    """The real part as a complex tensor."""
    return (t + t.conj()) / 2


@op(rules.same, gradient={"input": _sgn_gradient}, inplace=True)
def sgn(input: Tensor):
    """`input / |input|`, 0 at 0; `sign` for real numbers."""
    if input.dtype.kind == "b":
        return input.copy()
    if input.dtype.kind == "c":
        size = np.absolute(input)
        return np.where(size == 0, 0, input / np.where(size == 0, 1, size))
    return np.where(np.isnan(input), input.dtype.type(0), np.sign(input))


def float_unary(gradient, real: str | None = None, **options):
    """`@op` of a function whose integers become floats; gradient: of what the rule reads.

    real: PyTorch's name of the kernel, if it refuses complex numbers.
    """
    rule = rules.float_unary
    if real is not None:
        rule = rules.only(rule, real + "_cpu", dtypes.BOOL, dtypes.FLOAT)
    return op(rule, gradient={"input": gradient}, **ARITHMETIC, **options)


@float_unary(lambda g, out: g * conj_of(out))
def exp(input: Tensor):
    """e to the power of each element."""
    return np.exp(input)


@float_unary(lambda g, out: g * conj_of(out) * math.log(2), aliases=())
def exp2(input: Tensor):
    """2 to the power of each element."""
    return np.exp2(input) if input.dtype.kind != "c" else np.exp(input * math.log(2))


@float_unary(lambda g, out: g * conj_of(out + 1))
def expm1(input: Tensor):
    """`exp(input) - 1`, precise near 0."""
    return np.expm1(input)


@float_unary(lambda g, input: g / conj_of(input))
def log(input: Tensor):
    """The natural logarithm."""
    return np.log(input)


@float_unary(lambda g, input: g / conj_of(input * math.log(2)))
def log2(input: Tensor):
    """The logarithm to base 2."""
    return np.log2(input)


@float_unary(lambda g, input: g / conj_of(input * math.log(10)))
def log10(input: Tensor):
    """The logarithm to base 10."""
    return np.log10(input)


@float_unary(lambda g, input: g / conj_of(input + 1))
def log1p(input: Tensor):
    """`log(1 + input)`, precise near 0."""
    return np.log1p(input)


@float_unary(lambda g, out: g / conj_of(2 * out))
def sqrt(input: Tensor):
    """The square root."""
    return np.sqrt(input)


@float_unary(lambda g, out: -0.5 * g * conj_of(pow(out, 3)))
def rsqrt(input: Tensor):
    """`1 / sqrt(input)`."""
    return 1 / np.sqrt(input)


@float_unary(lambda g, out: -g * conj_of(out * out))
def reciprocal(input: Tensor):
    """`1 / input`."""
    return np.reciprocal(input)


@function(inplace=True, out=True)
def square(input: Tensor):
    """`input * input`."""
    return pow(input, 2)


@float_unary(lambda g, input: g * conj_of(cos(input)))
def sin(input: Tensor):
    """The sine."""
    return np.sin(input)


@float_unary(lambda g, input: g * conj_of(-sin(input)))
def cos(input: Tensor):
    """The cosine."""
    return np.cos(input)


@float_unary(lambda g, out: g * conj_of(1 + out * out))
def tan(input: Tensor):
    """The tangent."""
    return np.tan(input)


@float_unary(lambda g, input: g * conj_of(rsqrt(1 - input * input)), aliases=("arcsin",))
def asin(input: Tensor):
    """The inverse sine."""
    return np.arcsin(input)


@float_unary(lambda g, input: g * conj_of(-rsqrt(1 - input * input)), aliases=("arccos",))
def acos(input: Tensor):
    """The inverse cosine."""
    return np.arccos(input)


@float_unary(lambda g, input: g / conj_of(1 + input * input), aliases=("arctan",))
def atan(input: Tensor):
    """The inverse tangent."""
    return np.arctan(input)


@float_unary(lambda g, input: g * conj_of(cosh(input)))
def sinh(input: Tensor):
    """The hyperbolic sine."""
    return np.sinh(input)


@float_unary(lambda g, input: g * conj_of(sinh(input)))
def cosh(input: Tensor):
    """The hyperbolic cosine."""
    return np.cosh(input)


@float_unary(lambda g, out: g * conj_of(1 - out * out))
def tanh(input: Tensor):
    """The hyperbolic tangent."""
    return np.tanh(input)


@float_unary(lambda g, input: g * conj_of(rsqrt(input * input + 1)), aliases=("arcsinh",))
def asinh(input: Tensor):
    """The inverse hyperbolic sine."""
    return np.arcsinh(input)


@float_unary(
    lambda g, input: g * (conj_of(rsqrt(input - 1) * rsqrt(input + 1)) if input.is_complex() else rsqrt(input * input - 1)),
    aliases=("arccosh",),
)
def acosh(input: Tensor):
    """The inverse hyperbolic cosine."""
    return np.arccosh(input)


@float_unary(lambda g, input: g / conj_of(1 - input * input), aliases=("arctanh",))
def atanh(input: Tensor):
    """The inverse hyperbolic tangent."""
    return np.arctanh(input)


@float_unary(
    lambda g, out: g * conj_of(out * (1 - out)),
    api="torch Tensor special nn.functional",
    aliases=("expit",),
)
def sigmoid(input: Tensor):
    """`1 / (1 + exp(-input))`."""
    return 1 / (1 + np.exp(-input))


@float_unary(lambda g, input: g * conj_of(deriv_sinc(input)), api="torch Tensor special")
def sinc(input: Tensor):
    """`sin(pi x) / (pi x)`, 1 at 0."""
    return np.sinc(input)


def deriv_sinc(x):
    """The derivative of sinc."""
    t = x * math.pi
    return where(x == 0, 0.0, math.pi * ((t * cos(t) - sin(t)) / (t * t)))


def _zero_gradient(g):
    return g * 0.0


def _rounding(name, f, doc):
    def reference(input):
        return input.copy() if input.dtype.kind in "iub" else f(input)

    reference.__name__, reference.__doc__ = name, doc
    reference.__annotations__ = {"input": "Tensor"}
    rule = rules.only(rules.same, name + "_vml_cpu", dtypes.INTEGER, dtypes.FLOAT)
    return op(rule, gradient={"input": _zero_gradient}, inplace=True)(reference)


floor = _rounding("floor", np.floor, "The largest integer not above each element.")
ceil = _rounding("ceil", np.ceil, "The smallest integer not below each element.")
trunc = _rounding("trunc", np.trunc, "Each element without its fraction.")


@function(aliases=(), inplace=True, out=True)
def fix(input: Tensor):
    """`trunc`."""
    return trunc(input)


@op(
    rules.only(rules.same, "round_vml_cpu", dtypes.INTEGER, dtypes.FLOAT),
    gradient={"input": _zero_gradient},
    inplace=True,
)
def round(input: Tensor, *, decimals: int = 0):
    """The nearest integer, ties to even; with `decimals`, at that digit."""
    if input.dtype.kind in "iub":
        return input.copy()
    if decimals == 0:
        return np.rint(input)
    scale = input.dtype.type(10.0 ** np.abs(decimals))
    return np.rint(input * scale) / scale if decimals > 0 else np.rint(input / scale) * scale


def _frexp_rule(input: Meta):
    if input.dtype.category != dtypes.FLOAT:
        rules.fail(RuntimeError, "torch.frexp() only supports floating-point dtypes")
    made = rules.same(input)
    return made, rules.like(made, dtype=dtypes.int32)


@op(
    _frexp_rule,
    gradient={"input": lambda g, exponent: None if g[0] is None else g[0] / exp2(exponent.to(g[0].dtype))},
    returns=("mantissa", "exponent"),
)
def frexp(input: Tensor):
    """(m, e) with `input = m 2^e` and |m| in [0.5, 1)."""
    return np.frexp(input)


@op(
    rules.only(rules.same, "frac_vml_cpu", dtypes.FLOAT, dtypes.FLOAT),
    gradient={"input": lambda g: g},
    inplace=True,
)
def frac(input: Tensor):
    """The fraction, with the sign of each element."""
    return input - np.trunc(input)


@float_unary(lambda g: g * (math.pi / 180))
def deg2rad(input: Tensor):
    """Degrees to radians."""
    return input * (math.pi / 180)


@float_unary(lambda g: g * (180 / math.pi))
def rad2deg(input: Tensor):
    """Radians to degrees."""
    return input * (180 / math.pi)


@op(
    rules.same,
    gradient={"input": lambda g, input: g * (input.isfinite())},
    api="",
)
def _nan_to_num(input: Tensor, nan: float | None, posinf: float | None, neginf: float | None):
    """`nan_to_num`, with NumPy's limits by default."""
    if input.dtype.kind not in "fc":
        return input.copy()
    return np.nan_to_num(input, nan=nan or 0.0, posinf=posinf, neginf=neginf)


@function(inplace=True, out=True)
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
):
    """NaN and infinities replaced by numbers (0 and the dtype's limits by default)."""
    if input.dtype.is_half:  # computed in float32, whose limits are infinite in float16
        limits = dtypes.finfo(input.dtype)
        posinf = limits.max if posinf is None else posinf
        neginf = limits.min if neginf is None else neginf
    return _nan_to_num(input, nan, posinf, neginf)


@function(inplace=True, out=True, api="torch Tensor special")
def logit(input: Tensor, eps: float | None = None):
    """`log(x / (1 - x))`, with x clamped to [eps, 1 - eps]."""
    if input.dtype.category < dtypes.FLOAT:
        input = input.to(dtypes.get_default_dtype())
    x = input if eps is None else clamp(input, eps, 1 - eps)
    return log(x / (1 - x))


def _applied(name, tensors, callable):
    first = tensors[0]
    first.check_writable(name)
    for t in tensors:
        if t.requires_grad:
            raise RuntimeError(
                f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() "
                "instead."
            )
        if t.dtype is not first.dtype:
            raise TypeError(f"{name}: expected dtype {first.dtype} for 'other' (got {t.dtype})")
    columns = [array(t.expand(first.shape)).reshape(-1).tolist() for t in tensors]
    made = np.array([callable(*numbers) for numbers in zip(*columns, strict=True)])
    return first.copy_(wrap(made.astype(first.dtype.np).reshape(first.shape)))


@function(api="Tensor")
def apply_(self, callable):
    """In place, `callable` of each element as a Python number (slow)."""
    return _applied("apply_", (self,), callable)


@function(api="Tensor")
def map_(self, other, callable):
    """In place, `callable` of each element and that of `other`, which is expanded (slow)."""
    return _applied("map_", (self, other), callable)


@function(api="Tensor")
def map2_(self, x, y, callable):
    """In place, `callable` of each element and those of `x` and `y`, which are expanded (slow)."""
    return _applied("map2_", (self, x, y), callable)
