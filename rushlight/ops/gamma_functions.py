"""What gamma and beta distributions need: incomplete gamma functions, polygamma, implicit gradients.

A quantile x of a distribution with parameter a moves by `dx/da = -(dF/da) / f(x)`, F being its
cumulative and f its density (Figurnov and others, "Implicit reparameterization gradients", 2018).
F is a prefactor times a series or a continued fraction; these are differentiated with respect to a
by a complex step (Squire and Trapp, 1998), which is exact to the last bits, and the prefactor's
large or tiny powers cancel against f.
"""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.operator import Tensor, function, op
from ..trace.tensor import Tensor as TensorClass
from . import rules
from .elementary import exp, log
from .special_functions import digamma, lgamma

STEP = 1e-30  # of the complex step: its square vanishes beside any number met here
LIMIT = 20_000  # terms; the square root of the largest parameter times ten is enough
EPS = 1e-16


def _lgamma(x):
    from ..trace.operator import OPERATORS

    return OPERATORS["lgamma"].definition(np.asarray(x, np.float64))


def _digamma(x):
    from ..trace.operator import OPERATORS

    return OPERATORS["digamma"].definition(x)


def lower_series(a, x):
    """`sum of x^n / ((a + 1) ... (a + n))`: P(a, x) is `x^a exp(-x) / gamma(a + 1)` times this."""
    term = total = np.ones(np.shape(x), a.dtype)
    for n in range(1, LIMIT):
        term = term * x / (a + n)
        total = total + term
        if (np.abs(term) <= EPS * np.abs(total)).all():
            break
    return total


def upper_fraction(a, x):
    """The continued fraction that gives Q(a, x) with `x^a exp(-x) / gamma(a)`, for x > a + 1
    (modified Lentz method)."""
    b = x + 1 - a
    d = h = 1 / b
    c = np.full(np.shape(b), 1e300, a.dtype)
    for i in range(1, LIMIT):
        step = -i * (i - a)
        b = b + 2
        d, c = 1 / (step * d + b), b + step / c
        h = h * c * d
        if (np.abs(c * d - 1) <= 4 * EPS).all():
            break
    return h


def beta_fraction(a, b, x):
    """The continued fraction that gives I_x(a, b) with `x^a (1 - x)^b / (a B(a, b))`, for
    x < (a + 1) / (a + b + 2) (modified Lentz method)."""
    c = 1.0
    d = h = 1 / (1 - (a + b) * x / (a + 1))
    for m in range(1, LIMIT):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / (1 + even * d), 1 + even / c
        h = h * c * d
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + odd * d), 1 + odd / c
        h = h * c * d
        if (np.abs(c * d - 1) <= 4 * EPS).all():
            break
    return h


def _selected(mask, f, out, *args):
    """`out[mask] = f(...)` of the arguments' elements there."""
    if mask.any():
        out[mask] = f(*[v[mask] for v in args])


def _wide(*arrays):
    return np.broadcast_arrays(*[np.asarray(v, np.float64) for v in arrays])


def _incomplete(a, x, upper):
    a, x = _wide(a, x)
    shape = a.shape
    a, x = a.reshape(-1), x.reshape(-1)
    out = np.select(  # P at the ends; the first condition decides
        [(a < 0) | (x < 0), a == 0, x == 0, np.isinf(a), np.isinf(x)],
        [np.nan, np.where(x > 0, 1.0, np.nan), 0.0, np.where(np.isinf(x), np.nan, 0.0), 1.0],
        np.nan,
    )
    out = 1 - out if upper else out
    inner = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    far = inner & (x > a + 1)

    def front(a, x):
        return np.exp(a * np.log(x) - x - _lgamma(a))

    def low(a, x):
        p = front(a, x) / a * lower_series(a, x)
        return 1 - p if upper else p

    def high(a, x):
        q = front(a, x) * upper_fraction(a, x)
        return q if upper else 1 - q

    _selected(inner & ~far, low, out, a, x)
    _selected(far, high, out, a, x)
    return out.reshape(shape)


def _density(a, x):
    return exp((a - 1) * log(x) - x - lgamma(a))


@op(
    rules.only(rules.broadcast, "igamma_cpu", dtypes.FLOAT),
    gradient={
        "input": lambda g, input, other:
            -g * _density(input, other) * _standard_gamma_grad(input, other),
        "other": lambda g, input, other: g * _density(input, other),
    },
    compute="result",
    api="special",
)
def gammainc(input: Tensor, other: Tensor):
    """The lower incomplete gamma function P(a, x) / gamma(a) of a = input, x = other."""
    return _incomplete(input, other, False)


@op(
    rules.only(rules.broadcast, "igammac_cpu", dtypes.FLOAT),
    gradient={
        "input": lambda g, input, other:
            g * _density(input, other) * _standard_gamma_grad(input, other),
        "other": lambda g, input, other: -g * _density(input, other),
    },
    compute="result",
    api="special",
)
def gammaincc(input: Tensor, other: Tensor):
    """`1 - gammainc(input, other)`."""
    return _incomplete(input, other, True)


def _older_name(name, fn):
    """`fn` as a method too: of tensors only."""

    def igamma(input: Tensor, other: Tensor):
        for place, x in (("input", input), ("other", other)):
            if not isinstance(x, TensorClass):
                raise TypeError(
                    f"{name}(): argument '{place}' must be Tensor, not {type(x).__name__}"
                )
        return fn(input, other)

    igamma.__name__, igamma.__doc__ = name, f"`special.{fn.__name__}`."
    function(out=True, inplace=True)(igamma)


_older_name("igamma", gammainc)
_older_name("igammac", gammaincc)


@op(rules.broadcast_float, compute="result", api="torch")
def _standard_gamma_grad(input: Tensor, output: Tensor):
    """The implicit gradient of a gamma sample: how `output` moves with its parameter `input`."""
    a, x = _wide(input, output)
    shape = a.shape
    a, x = a.reshape(-1), x.reshape(-1)
    out = np.where(np.isnan(a) | np.isnan(x), np.nan, 0.0)

    def low(a, x):
        s = lower_series(a + 1j * STEP, x)
        slope = np.log(x) - _digamma(a + 1) + s.imag / STEP / s.real
        return -x / a * s.real * slope

    def high(a, x):
        h = upper_fraction(a + 1j * STEP, x)
        return x * h.real * (np.log(x) - _digamma(a) + h.imag / STEP / h.real)

    def vast(a, x):  # the Cornish-Fisher expansion of a quantile, differentiated
        z = (x - a) / np.sqrt(a)
        z -= (z * z - 1) / (3 * np.sqrt(a))
        return 1 + z / (2 * np.sqrt(a)) - (z**3 - 7 * z) / (72 * a**1.5)

    inner = (a > 0) & (x > 0)
    small = inner & (a <= 1e5)
    _selected(inner & ~small, vast, out, a, x)
    _selected(small & (x <= a + 1), low, out, a, x)
    _selected(small & (x > a + 1), high, out, a, x)
    return out.reshape(shape)


@op(lambda x, alpha, total: rules.broadcast_float(x, alpha), compute="result", api="torch")
def _dirichlet_grad(x: Tensor, alpha: Tensor, total: Tensor):
    """`dx / dalpha / (1 - x)` of a Beta(alpha, total - alpha) sample x, total - alpha fixed."""
    x, a, total = _wide(x, alpha, total)
    shape = x.shape
    x, a, total = x.reshape(-1), a.reshape(-1), total.reshape(-1)
    b, out = total - a, np.zeros(x.shape)

    def low(a, b, x):
        h = beta_fraction(a + 1j * STEP, b, x)
        slope = np.log(x) - _digamma(a) + _digamma(a + b) - 1 / a + h.imag / STEP / h.real
        return -x * h.real / a * slope

    def high(a, b, x):
        h = beta_fraction(b, a + 1j * STEP, 1 - x)
        return x * h.real / b * (
            np.log(x) - _digamma(a) + _digamma(a + b) + h.imag / STEP / h.real
        )

    inner = (x > 0) & (a > 0) & (b > 0)
    near = x < (a + 1) / (total + 2)
    _selected(inner & near, low, out, a, b, x)
    _selected(inner & ~near, high, out, a, b, x)
    return out.reshape(shape)


# B(2j) / (2j)! of the Euler-Maclaurin formula
_BERNOULLI = [
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
    1 / 74724249600, -3617 / 10670622842880000,
]


def _zeta(s, q):
    """The Hurwitz zeta function `sum of (q + k)^-s` for s > 1."""
    lowest = q[np.isfinite(q)].min(initial=0.0)
    count = min(12 + max(0, math.ceil(-lowest)), LIMIT)
    total = np.zeros(q.shape)
    for k in range(count):
        total += (q + k) ** -s
    n = q + count
    total += n ** (1.0 - s) / (s - 1) + 0.5 * n**-s
    s = np.minimum(s, 1e3)  # the rest vanishes for larger ones
    factor, power = s, n ** (-s - 1.0)
    for j, b in enumerate(_BERNOULLI):
        total += b * factor * power
        factor = factor * (s + 2 * j + 1) * (s + 2 * j + 2)
        power = power / (n * n)
    return total


@op(
    lambda input, n: rules.float_unary(input),
    gradient={"input": lambda g, input, n: g * _polygamma(input, n + 1)},
    compute="result",
    api="",
)
def _polygamma(input: Tensor, n: int):
    """The derivative n of digamma, n > 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x, sign = np.asarray(input, np.float64), 1.0 if n % 2 else -1.0
        if n > 1:
            return sign * math.factorial(n) * _zeta(n + 1.0, x)
        left = x < 0.5  # reflected, since the sum grows with the distance from 0
        return np.where(left, (np.pi / np.sin(np.pi * np.remainder(x, 1.0))) ** 2 - _zeta(2.0, np.where(left, 1 - x, 1.0)),
                        _zeta(2.0, np.where(left, 1.0, x)))


@function(api="torch special", out=True)
def polygamma(n, input):
    """The derivative n of digamma; n is a whole number that is not negative."""
    if not isinstance(n, int):  # the method's order
        n, input = input, n
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return digamma(input) if n == 0 else _polygamma(input, n)


def _polygamma_method():
    def polygamma(self, n: int):
        """The derivative n of digamma."""
        return digamma(self) if n == 0 else _polygamma(self, n)

    return function(api="Tensor", inplace=True)(polygamma)


_polygamma_method()


@function(inplace=True, out=True)
def mvlgamma(input: Tensor, p: int):
    """`p (p - 1) / 4 log(pi) + sum of lgamma(input - j / 2)` for j < p: the multivariate lgamma."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if input.dtype is dtypes.bool_:
        raise RuntimeError("mvlgamma(): the input tensor may not be a boolean tensor")
    total = lgamma(input)
    for j in range(1, p):
        total = total + lgamma(input - j / 2)
    return total + p * (p - 1) / 4 * math.log(math.pi)


