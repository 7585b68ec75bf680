"""Random tensors: PyTorch's CPU numbers for the same seed."""

from __future__ import annotations

import math

import numpy as np

from ..trace import dtypes
from ..trace.box_muller import libm
from ..trace.device import CPU, require
from ..trace.forms import write_out
from ..trace.generator import FEW
from ..trace.layouts import made_on
from ..trace.meta import meta
from ..trace.operator import Generator, Scalar, Size, Tensor, function, op
from ..trace.record import sizes
from ..trace.tensor import Tensor as TensorClass
from ..trace.tensor import array, without_values, wrap
from . import rules

# ---------------------------------------------------------------- the draws


def _size_rule(size, a, b, dtype, contiguous):
    if size and min(size) < 0:
        rules.fail(
            RuntimeError,
            f"Trying to create tensor with negative dimension {min(size)}: {list(size)}",
        )
    return meta(size, dtype)


def _draw(name):
    """An internal random operator: `size` numbers of a distribution with two parameters."""

    def define(fn):
        fn.__name__ = name
        fn.__annotations__ = {
            "size": "Size", "a": "Scalar", "b": "Scalar", "dtype": "dtype", "contiguous": "bool",
            "generator": "Generator | None",
        }
        return op(_size_rule, random=True, compute="storage", api="")(fn)

    return define


def _halves(v):
    """A double as the sum of two numbers of 26 bits (Veltkamp, 1968)."""
    wide = v * 134217729.0
    high = wide - (wide - v)
    return high, v - high


def _fused(x: np.ndarray, factor: float, addend: float) -> np.ndarray:
    """`x * factor + addend` rounded once, as PyTorch's compiled loops do it."""
    if x.dtype == np.float32:
        wide = x.astype(np.float64) * np.float32(factor) + np.float64(np.float32(addend))
        return wide.astype(np.float32)
    product = x * factor
    if addend == 0 or factor == 1:
        return product + addend
    # the error of the product (Dekker, 1971) and of the sum (Knuth), added to it
    (high, low), (f_high, f_low) = _halves(x), _halves(factor)
    error = ((high * f_high - product) + high * f_low + low * f_high) + low * f_low
    total = product + addend
    back = total - product
    return total + ((product - (total - back)) + (addend - back) + error)


def _narrow(x, dtype):
    """float64 numbers on their way to a half type: rounded to float32 first, as PyTorch does."""
    return x.astype(np.float32) if dtype.is_half and x.dtype == np.float64 else x


@_draw("_uniform")
def _uniform(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Uniform numbers in [a, b); what is rounded up to b becomes a."""
    made = generator.unit(math.prod(size), "float64" if dtype.name == "float64" else "float32")
    if (a, b) != (0, 1):
        d = made.dtype.type
        made = _fused(made, d(b) - d(a), a)
    if dtype.is_half or (a, b) != (0, 1):
        made = made.astype(dtype.np)
        made[made == dtype.np.type(b)] = a
    return made.reshape(size)


@_draw("_normal")
def _normal(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Normal numbers with mean a and standard deviation b."""
    n, kind = math.prod(size), "float64" if dtype.name == "float64" else "float32"
    if dtype.is_half and n > 16 and n % 16 and contiguous:  # the last 16 from words of their own
        made = np.empty(n, np.float32)
        made[: n // 16 * 16] = generator.normal(n // 16 * 16, kind)
        made[-16:] = generator.normal(16, kind)
    else:
        made = generator.normal(n, kind, contiguous, dtype is dtypes.float64)
    return _narrow(made if (a, b) == (0, 1) else _fused(made, b, a), dtype).reshape(size)


@_draw("_below")
def _below(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Integers in [a, b)."""
    return generator.below(math.prod(size), a, b).reshape(size)


@_draw("_bernoulli")
def _bernoulli(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """1 with probability a, else 0."""
    return generator.bernoulli(math.prod(size), a).reshape(size)


@_draw("_exponential")
def _exponential(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Exponential numbers with rate a."""
    made = generator.exponential(math.prod(size), a, dtype is dtypes.float64)
    return _narrow(made, dtype).reshape(size)


@_draw("_geometric")
def _geometric(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Trials until the first success of probability a."""
    u = generator.unit(math.prod(size), "float64")
    return np.ceil(np.log(u) / np.log(1 - a)).reshape(size)


@_draw("_cauchy")
def _cauchy(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Cauchy numbers with median a and scale b."""
    u = generator.unit(math.prod(size), "float64")
    tan = libm(math.tan, math.pi * (u - 0.5)) if dtype is dtypes.float64 else \
        np.tan(math.pi * (u - 0.5))
    return _narrow(_fused(tan, b, a), dtype).reshape(size)


@_draw("_log_normal")
def _log_normal(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Numbers whose logarithm is normal with mean a and standard deviation b."""
    exact = dtype is dtypes.float64
    made = _fused(generator.normal_one_by_one(math.prod(size), exact), b, a)
    return _narrow(libm(math.exp, made) if exact else np.exp(made), dtype).reshape(size)


@op(lambda n, dtype: meta((n,), dtype), random=True, compute="storage", api="")
def _permutation(n: int, dtype: dtypes.dtype, generator: Generator):
    """The numbers below n in random order."""
    return generator.permutation(n)


@op(
    lambda p: meta(p.shape, p.dtype), random=True, compute="storage", api="",
    gradient={"p": lambda g: g.new_zeros(tuple(g.shape))},
)
def _bernoulli_of(p: Tensor, generator: Generator):
    """1 with the probability of each element, else 0."""
    q = p.reshape(-1)
    if not ((q >= 0) & (q <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    q = q if q.dtype in (np.float32, np.float64) else q.astype(np.float32)
    return generator.bernoulli(q.size, q).reshape(p.shape)


# ---------------------------------------------------------------- filling in place


def _fill(t, draw, a, b, generator):
    """Fill a tensor in the order of its memory."""
    m = t._s.m
    if m.placeholder is not None:
        return t.copy_(without_values(m))
    if m.contiguous:
        return t.copy_(draw(tuple(m.shape), a, b, m.dtype, True, generator))
    order = sorted(range(m.ndim), key=lambda d: -m.strides[d])
    view = t.permute(*order)
    view.copy_(draw(tuple(view.shape), a, b, m.dtype, False, generator))
    return t


def _float_only(t, name):
    if t.dtype.category < dtypes.FLOAT:
        from ..trace.dtypes import type_name

        raise NotImplementedError(
            f"\"check_{name}_bounds\" not implemented for '{type_name(t.dtype)}'"
        )


@function(api="Tensor")
def uniform_(self, to_from=None, to=None, *, generator=None, **kwargs):
    """Fill with uniform numbers in [from, to) (default [0, 1))."""
    low = kwargs.pop("from", 0.0 if to_from is None else to_from)
    high = 1.0 if to is None else to
    _float_only(self, "uniform")
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    return _fill(self, _uniform, float(low), float(high), generator)


@function(api="Tensor")
def normal_(self, mean: float = 0, std: float = 1, *, generator=None):
    """Fill with normal numbers."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    _float_only(self, "normal")
    return _fill(self, _normal, float(mean), float(std), generator)


def _refuse_empty(low, high) -> None:
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")


@function(api="Tensor")
def random_(self, low=None, high=None, *, generator=None):
    """Fill with integers in [low, high); by default all that the dtype holds exactly."""
    if low is not None and high is None:
        low, high = 0, low
    if low is None:
        d = self.dtype
        if d.category == dtypes.BOOL:
            low, high = 0, 2
        elif d.category == dtypes.INTEGER:
            low, high = 0, int(np.iinfo(d.np).max) + 1
            if d is dtypes.int64:
                return _fill(self, _any63, 0, 0, generator)
        else:
            bits = {"float32": 24, "float64": 53, "float16": 11, "bfloat16": 8}[d.name]
            low, high = 0, (1 << bits) + 1
            if bits == 53:
                return _fill(self, _wide_below, 0, high, generator)
        return _fill(self, _narrow_below, 0, high, generator)
    _refuse_empty(low, high)
    return _fill(self, _below_as_is, int(low), int(high), generator)


def _below_as_is(size, a, b, dtype, contiguous, generator):
    return _below(size, a, b, dtypes.int64, contiguous, generator)


@_draw("_any63")
def _any63(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Integers of 63 random bits."""
    words = generator.raw64(math.prod(size)) & np.uint64((1 << 63) - 1)
    return words.astype(np.int64).reshape(size)


@_draw("_wide_below")
def _wide_below(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Integers below b from 64 random bits each."""
    words = generator.raw64(math.prod(size)) % np.uint64(b)
    return words.astype(np.int64).reshape(size)


@_draw("_narrow_below")
def _narrow_below(size: Size, a: Scalar, b: Scalar, dtype, contiguous: bool, generator: Generator):
    """Integers below b from 32 random bits each."""
    words = generator.raw32(math.prod(size)) % np.uint64(b)
    return words.astype(np.int64).reshape(size)


@function(api="Tensor")
def bernoulli_(self, p=0.5, *, generator=None):
    """Fill with 1 with probability p, else 0; p may be a tensor of probabilities."""
    if isinstance(p, TensorClass):
        return self.copy_(_bernoulli_of(p.expand_as(self), generator))
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return _fill(self, _bernoulli, float(p), 0.0, generator)


@function(api="Tensor")
def exponential_(self, lambd: float = 1, *, generator=None):
    """Fill with exponential numbers."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _fill(self, _exponential, float(lambd), 0.0, generator)


@function(api="Tensor")
def geometric_(self, p: float, *, generator=None):
    """Fill with the number of trials until the first success."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return _fill(self, _geometric, float(p), 0.0, generator)


@function(api="Tensor")
def cauchy_(self, median: float = 0, sigma: float = 1, *, generator=None):
    """Fill with Cauchy numbers."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return _fill(self, _cauchy, float(median), float(sigma), generator)


@function(api="Tensor")
def log_normal_(self, mean: float = 1, std: float = 2, *, generator=None):
    """Fill with numbers whose logarithm is normal."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    return _fill(self, _log_normal, float(mean), float(std), generator)


# ---------------------------------------------------------------- new tensors


def _made(draw, size, a, b, dtype, generator, requires_grad, out, where=CPU):
    if out is not None:
        return write_out("random", draw(size, a, b, out.dtype, True, generator), out)
    t = made_on(where, draw, size, a, b, dtype or dtypes.get_default_dtype(), True, generator)
    return t.requires_grad_() if requires_grad else t


def _float_dtype(dtype, name):
    if dtype is not None and dtype.category < dtypes.FLOAT:
        from ..trace.dtypes import type_name

        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name(dtype)}'")


@function(api="torch")
def rand(*shape, size=None, generator=None, out=None, dtype=None, layout=None, device=None,
         requires_grad: bool = False, pin_memory: bool = False, names=None):
    """Uniform numbers in [0, 1).

    >>> _ = torch.manual_seed(0)
    >>> torch.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """
    where = require(device)
    _float_dtype(dtype, "check_uniform_bounds")
    return _made(_uniform, sizes(size or shape), 0.0, 1.0, dtype, generator, requires_grad, out, where)


@function(api="torch")
def randn(*shape, size=None, generator=None, out=None, dtype=None, layout=None, device=None,
          requires_grad: bool = False, pin_memory: bool = False, names=None):
    """Standard normal numbers.

    >>> _ = torch.manual_seed(0)
    >>> torch.randn(3)
    tensor([ 1.5410, -0.2934, -2.1788])
    """
    where = require(device)
    _float_dtype(dtype, "normal_kernel_cpu")
    if out is not None and dtype is None:
        dtype = out.dtype
    if dtype is not None and dtype.is_complex and where is CPU:
        scale = math.sqrt(0.5)
        pairs = _normal((*sizes(size or shape), 2), 0.0, scale, dtype.to_real(), True, generator)
        from .complex_numbers import view_as_complex

        t = view_as_complex(pairs).clone()
        if out is not None:
            return write_out("randn", t, out)
        return t.requires_grad_() if requires_grad else t
    return _made(_normal, sizes(size or shape), 0.0, 1.0, dtype, generator, requires_grad, out, where)


@function(api="torch")
def randint(low, high=None, size=None, *, generator=None, out=None, dtype=None, layout=None,
            device=None, requires_grad: bool = False, pin_memory: bool = False):
    """Integers in [low, high), int64 by default. `randint(high, size)` starts at 0.

    >>> _ = torch.manual_seed(0)
    >>> torch.randint(0, 10, (4,))
    tensor([4, 9, 3, 0])
    """
    where = require(device)
    if size is None:
        low, high, size = 0, low, high
    if high is None:
        low, high = 0, low
    _refuse_empty(low, high)
    made = made_on(where, _below, sizes((size,)), int(low), int(high), dtypes.int64, True, generator)
    made = made if dtype in (None, dtypes.int64) else made.to(dtype)
    if out is not None:
        return write_out("randint", made, out)
    return made.requires_grad_() if requires_grad else made


@function(api="torch")
def randperm(n: int, *, generator=None, out=None, dtype=None, layout=None, device=None,
             requires_grad: bool = False, pin_memory: bool = False):
    """The numbers below n in random order, int64 by default.

    >>> _ = torch.manual_seed(0)
    >>> torch.randperm(5)
    tensor([4, 0, 1, 3, 2])
    """
    where = require(device)
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    made = made_on(where, _permutation, n, dtype or dtypes.int64, generator)
    return made if out is None else write_out("randperm", made, out)


def _filled_like(input, draw, a, b, dtype, device, requires_grad, memory_format, generator):
    """A tensor with the shape, dtype and layout of `input`, drawn in the order of its memory."""
    from .creation import empty_like

    t = empty_like(input, dtype=dtype, device=device, memory_format=memory_format)
    _fill(t, draw, a, b, generator)
    return t.requires_grad_() if requires_grad else t


def _like(draw):
    def like(input, *, dtype=None, layout=None, device=None, requires_grad=False,
             memory_format=None, generator=None):
        return _filled_like(input, draw, 0.0, 1.0, dtype, device, requires_grad, memory_format,
                            generator)

    return like


def rand_like(input: Tensor, **kwargs):
    """Uniform numbers in [0, 1) with the shape and dtype of `input`."""
    return _like(_uniform)(input, **kwargs)


def randn_like(input: Tensor, **kwargs):
    """Standard normal numbers with the shape and dtype of `input`."""
    return _like(_normal)(input, **kwargs)


rand_like, randn_like = function(api="torch")(rand_like), function(api="torch")(randn_like)


@function(api="torch")
def randint_like(input: Tensor, low, high=None, *, dtype=None, layout=None, device=None,
                 requires_grad: bool = False, memory_format=None, generator=None):
    """Integers in [low, high) with the shape, dtype and layout of `input`."""
    if high is None:
        low, high = 0, low
    _refuse_empty(low, high)
    return _filled_like(input, _below_as_is, int(low), int(high), dtype, device, requires_grad,
                        memory_format, generator)


@function(api="torch")
def normal(mean, std=1.0, size=None, *, generator=None, out=None, dtype=None, layout=None,
           device=None, requires_grad: bool = False, pin_memory: bool = False):
    """Normal numbers with given means and standard deviations (numbers or tensors)."""
    if size is not None:
        made = made_on(require(device), _normal, sizes((size,)), float(mean), float(std),
                       dtype or dtypes.get_default_dtype(), True, generator)
        if out is not None:
            return write_out("normal", made, out)
        return made.requires_grad_() if requires_grad else made
    if not isinstance(std, TensorClass) and std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    shape = rules.broadcast_shapes(*[
        tuple(t.shape) for t in (mean, std) if isinstance(t, TensorClass)
    ])
    like = mean if isinstance(mean, TensorClass) else std
    made = made_on(like.device, _normal, shape, 0.0, 1.0, like.dtype, True, generator) * std + mean
    return made if out is None else write_out("normal", made, out)


@function(api="torch Tensor")
def bernoulli(input: Tensor, p=None, *, generator=None, out=None):
    """1 with the probability that each element gives, else 0.

    >>> torch.bernoulli(torch.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    if p is not None:
        from .creation import empty_like

        return bernoulli_(empty_like(input), p, generator=generator)
    if input.dtype.category < dtypes.FLOAT:
        from ..trace.dtypes import type_name

        raise NotImplementedError(
            f"\"bernoulli_tensor_cpu_p_\" not implemented for '{type_name(input.dtype)}'"
        )
    made = _bernoulli_of(input, generator)
    return made if out is None else write_out("bernoulli", made, out)


@function(api="torch Tensor")
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator=None,
                out=None):
    """Indices drawn with probabilities proportional to each row's weights.

    >>> _ = torch.manual_seed(0)
    >>> torch.multinomial(torch.tensor([0.0, 1.0, 1.0]), 5, replacement=True)
    tensor([2, 2, 1, 2, 2])
    """
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if input.dtype.category != dtypes.FLOAT:
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: " + input.dtype.name
        )
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {out.dtype.name}")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    n = input.shape[-1]
    if n > 1 << 24:
        raise RuntimeError(f"number of categories cannot exceed 2^24, but there are {n}")
    if not replacement and num_samples > n:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    made = _multinomial(input, num_samples, replacement, generator)
    return made if out is None else write_out("multinomial", made, out)


@op(
    lambda p, k, replacement: meta((*p.shape[:-1], k), dtypes.int64),
    random=True, api="",
)
def _multinomial(p: Tensor, k: int, replacement: bool, generator: Generator):
    """k indices for each row of weights."""
    if k == 1 and p.size <= FEW and p.dtype in (np.float32, np.float64):
        return _one_of_few(p, generator)
    _check_weights(p)
    if not replacement or k == 1:
        q = p / generator.exponential(p.size, 1.0).astype(p.dtype).reshape(p.shape)
        return _likeliest(q) if k == 1 else np.argsort(-q, axis=-1, kind="stable")[..., :k]
    rows = np.cumsum(p.reshape(-1, p.shape[-1]), axis=-1)
    rows = rows / rows[:, -1:]
    u = generator.unit(len(rows) * k, "float64").reshape(-1, k)
    picked = np.array([np.searchsorted(r, v) for r, v in zip(rows, u, strict=True)]).reshape(u.shape)
    return np.minimum(picked, p.shape[-1] - 1).reshape(*p.shape[:-1], k)


def _likeliest(q):
    return q.argmax(-1)[..., None]


def _one_of_few(p, generator):
    """An index for each row, in Python's numbers: as in a policy's loop. (They are rounded where that decides.)"""
    weights = p.tolist()
    rows = weights if p.ndim == 2 else [weights]
    for row in rows:
        if not (row and min(row) >= 0.0 and 0.0 < sum(row) < math.inf):
            _check_weights(p)
    times = [-math.log1p(-x) for x in generator.few(p.size)]
    picked, at = [], 0
    for row in rows:
        q = [x / t if t else math.inf for x, t in zip(row, times[at:] if at else times)]
        at += len(row)
        most = max(q)
        picked.append([q.index(most)])
        near = most * (1 - 1e-6)
        if len([x for x in q if x > near]) > 1:  # equal ones when they are rounded, perhaps
            return _likeliest(p / np.array(times).astype(p.dtype).reshape(p.shape))
    made = np.array(picked, np.int64)
    return made if p.ndim == 2 and picked else made.reshape(*p.shape[:-1], 1)


def _check_weights(p) -> None:
    total = np.add.reduce(p, axis=-1)
    sound = (total > 0) & (total < np.inf)
    if np.count_nonzero(sound) < sound.size or np.count_nonzero(p >= 0) < p.size:  # (a finite sum: finite terms)
        if not np.isfinite(p).all() or (p < 0).any():
            raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
        if (total <= 0).any():
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


@op(lambda input: meta(input.shape, input.dtype), random=True, api="torch")
def poisson(input: Tensor, generator: Generator | None = None):
    """Poisson counts with the rates that the elements give.

    Small rates: products of uniform numbers (Knuth); from 10 on: transformed rejection (Hörmann,
    1993). One element after the other, as the number of draws differs.
    """
    if (input < 0).any():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    with generator.one_by_one() as draw:
        made = [_poisson(rate, draw) for rate in input.reshape(-1).tolist()]
    return np.array(made, input.dtype).reshape(input.shape)


def _poisson(rate: float, draw) -> float:
    if rate == 0:
        return 0.0
    if rate < 10:
        limit, product, count = math.exp(-rate), draw(), 0
        while product > limit:
            product *= draw()
            count += 1
        return float(count)
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    certain = 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = draw() - 0.5, draw()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43) if us else -1
        if us >= 0.07 and v <= certain:
            return k
        if k < 0 or us < 0.013 and v > us:
            continue
        density = -rate + k * math.log(rate) - math.lgamma(k + 1)
        if not v or math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= density:
            return k


__all__ = ["array", "wrap"]
