"""The class of nested tensors, and what functions do with them.

A `NestedTensor` is a thin object over one dense tensor, its entries (`values()`), and says where components begin. In
the jagged layout the entries are the components one after another along the ragged dimension, and a `Ragged` keeps
the offsets. In the strided layout components may differ in every dimension: entries are their elements, flat, and the
components' shapes are kept.

Functions come in through `__torch_function__`: an elementwise one is one operation on the entries, the others are looked up
by name in `FORMS` (`nested_forms.py`). Everything is a composition of ordinary operators, so it is recorded, compiled and differentiated like
anything else. What has no form raises NotImplementedError.

Deliberate differences from PyTorch: views of strided ones other than components are copies, so contiguous; more functions
work for the strided layout; causal attention and attention over shorter keys work for the jagged one.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import rushlight as torch

from .ops.entries import OfEntries
from .ops.rules import wrap_dim
from .ops.sparse_tensor import constant, host
from .trace import overrides
from .trace.meta import Size
from .trace.tensor import Tensor

F = torch.nn.functional
FORMS: dict[str, Callable] = {}  # {name: what the function of that name does}: filled by `nested_forms.py`


class Ragged:
    """The size of a ragged dimension: equal only to itself. It belongs to one tensor of offsets (or of lengths)."""

    _numbers = itertools.count(1)

    def __init__(self, offsets: Tensor, lengths: Tensor | None):
        self.offsets, self.lengths, self._number = offsets, lengths, next(Ragged._numbers)
        self._paddings: dict[int, tuple[Tensor, np.ndarray, Tensor]] = {}

    def __repr__(self) -> str:
        return f"j{self._number}"

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Where each component begins."""
        return np.array(host(self.offsets)[:-1])

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """The length of each component."""
        return np.array(np.diff(host(self.offsets)) if self.lengths is None else host(self.lengths))

    @functools.cached_property
    def rows(self) -> Tensor:
        """Of each position among the entries, its component."""
        return constant(np.repeat(np.arange(len(self.sizes)), self.sizes))

    def padding(self, length: int) -> tuple[Tensor, np.ndarray, Tensor]:
        """For components padded to `length`: the position among the entries of each element, (batch, length) whether
        it is there, and where the entries lie in it, flat."""
        if length not in self._paddings:
            steps = np.arange(length)
            there = steps < self.sizes[:, None]
            positions = np.where(there, self.starts[:, None] + steps, 0).reshape(-1)
            self._paddings[length] = constant(positions), there, constant(np.flatnonzero(there))
        return self._paddings[length]


def ragged(offsets: Tensor, lengths: Tensor | None = None) -> Ragged:
    """The size that belongs to these offsets, always the same one: so tensors made of the same offsets fit."""
    of = offsets if lengths is None else lengths
    if "_ragged" not in of.__dict__:
        of.__dict__["_ragged"] = Ragged(offsets, lengths)
    return of.__dict__["_ragged"]


class NestedTensor(OfEntries):
    """A batch of tensors of different sizes; made by the functions of `torch.nested`.

    >>> x = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    >>> isinstance(x, torch.Tensor), x.layout, x.is_nested
    (True, torch.jagged, True)
    """

    __slots__ = (
        "_ragged",  # the size of the ragged dimension; None in the strided layout
        "_ragged_idx",  # which dimension that is
        "_shapes",  # of the components, in the strided layout
    )
    is_nested = True
    _instead = ".unbind() or .to_padded_tensor()"

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs, name = kwargs or {}, func.__name__
        if name.removesuffix("_") in ELEMENTWISE and "out" not in kwargs:
            return elementwise(func, args, kwargs)
        if name not in FORMS or "out" in kwargs:
            raise NotImplementedError(f"{func.__name__}() is not implemented for nested tensors: use unbind() and call it for each "
                                      "component, or to_padded_tensor()")
        return FORMS[name](func, *args, **kwargs)

    # ------------------------------------------------------------ what it is

    layout = property(lambda self: torch.strided if self._ragged is None else torch.jagged, doc="torch.strided or torch.jagged.")
    ndim = property(lambda self: self.dim(), doc="Number of dimensions.")
    nbytes = property(lambda self: self._entries.nbytes, doc="Bytes of all entries.")
    _values = property(lambda self: self._entries)
    _offsets = property(lambda self: self.offsets())
    _lengths = property(lambda self: self.lengths())

    @property
    def shape(self) -> Size:
        """The size of each dimension, of a ragged one an object that only equals itself.

        Raises RuntimeError in the strided layout, as components may differ in every dimension.
        """
        if self._ragged is None:
            raise RuntimeError("a nested tensor of strided layout has no shape: ask for size(dim), or for those of its components")
        r, sizes = self._ragged_idx, self._entries.shape
        return Size((len(self._ragged.offsets) - 1, *sizes[: r - 1], self._ragged, *sizes[r:]))

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of dimension `dim`; RuntimeError for one that differs between strided components."""
        if self._ragged is not None or dim is None:
            return self.shape if dim is None else self.shape[wrap_dim(dim, self.ndim)]
        at = wrap_dim(dim, self.ndim)
        if at == 0:
            return len(self._shapes)
        if len(sizes := {s[at - 1] for s in self._shapes}) > 1:
            raise RuntimeError(f"Given dimension {at} is irregular and does not have a size.")
        return sizes.pop()

    def dim(self) -> int:
        """Number of dimensions, with that of the batch."""
        if self._ragged is None:
            return len(self._shapes[0]) + 1 if self._shapes else 1
        return self._entries.ndim + 1

    ndimension = dim

    def numel(self) -> int:
        """Number of elements of all components."""
        if self._ragged is None or self._ragged.lengths is None:
            return self._entries.numel()
        sizes = self._entries.shape
        return int(self._ragged.sizes.sum()) * (sizes.numel() // max(sizes[self._ragged_idx - 1], 1))

    nelement = numel

    def __len__(self) -> int:
        return self.size(0)

    def __invert__(self) -> Tensor:
        return torch.bitwise_not(self)

    def is_contiguous(self, memory_format: Any = torch.contiguous_format) -> bool:
        """Whether components lie one after another without holes, each in order."""
        whole = self._ragged is None or self._ragged.lengths is None
        return whole and self._entries.is_contiguous(memory_format)

    def values(self) -> Tensor:
        """The entries: components one after another along the ragged dimension (strided: all elements, flat)."""
        return self._entries

    def offsets(self) -> Tensor:
        """Where components begin among the values, and the end: (batch + 1) integers. For the jagged layout."""
        return _only_jagged(self, "offsets").offsets

    def lengths(self) -> Tensor | None:
        """The lengths of components that have holes between them, or None. For the jagged layout."""
        return _only_jagged(self, "lengths").lengths

    def to_padded_tensor(self, padding: float, output_size: Any = None, out: Tensor | None = None) -> Tensor:
        """See `torch.nested.to_padded_tensor`."""
        made = padded(self, padding, output_size)
        return made if out is None else out.copy_(made)

    def copy_(self, src: Any, non_blocking: bool = False) -> NestedTensor:
        """Overwrite the entries with those of `src`, which has the same sizes; returns this tensor."""
        self._entries.copy_(self._aligned(src))
        return self

    def tolist(self) -> list:
        """The components as nested lists."""
        return [c.tolist() for c in self.unbind()]

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """RuntimeError: ask the components."""
        raise RuntimeError(f"numpy() is not supported for nested tensors: use {self._instead}")

    def __repr__(self, *, tensor_contents=None) -> str:  # type: ignore[override]
        if self._ragged is None:
            parts = [repr(c.detach().requires_grad_(self.requires_grad)) for c in self.unbind()]
            inner = ",\n".join("  " + p.replace("\n", "\n  ") for p in parts)
            return f"nested_tensor([\n{inner}\n]{', requires_grad=True' if self.requires_grad else ''})"
        history = f", grad_fn={self.grad_fn}" if self.grad_fn else ", requires_grad=True" if self.requires_grad else ""
        return f"NestedTensor(size={tuple(self.shape)}, offsets={self.offsets()}{history}, contiguous={self.is_contiguous()})"

    # ------------------------------------------------------------ for autograd and copies

    def _like(self, entries: Tensor) -> NestedTensor:
        return like(self, entries)

    _gradient = _like

    def _aligned(self, g: Any) -> Tensor:
        if not isinstance(g, NestedTensor) or [c.shape for c in g.unbind()] != [c.shape for c in self.unbind()]:
            raise RuntimeError("expected a nested tensor whose components have the sizes of this one's")
        if (g._ragged is None) is (self._ragged is None) and g._entries.shape == self._entries.shape:
            return g._entries
        return same_form(self, g.unbind())._entries

    def _become(self, other: NestedTensor) -> NestedTensor:
        self._entries, self._ragged, self._ragged_idx, self._shapes = other._entries, other._ragged, other._ragged_idx, other._shapes
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple:
        state = (self._ragged_idx, self._shapes, self._own, dict(self.__dict__))
        places = None if self._ragged is None else (self._ragged.offsets, self._ragged.lengths)
        return _rebuild, (self._entries.detach(), places, *state)


def make(entries: Tensor, size: Ragged | None, idx: int = 1, shapes: tuple = ()) -> NestedTensor:
    """A nested tensor of its parts, unchecked."""
    t = object.__new__(NestedTensor)
    t._entries, t._ragged, t._ragged_idx, t._shapes, t._own = entries, size, idx, shapes, False
    if NestedTensor not in overrides.OTHERS:
        overrides.OTHERS.append(NestedTensor)
    return t


def like(t: NestedTensor, entries: Tensor, idx: int | None = None) -> NestedTensor:
    """Other entries in the places of `t`."""
    return make(entries, t._ragged, t._ragged_idx if idx is None else idx, t._shapes)


def strided(components: Any, dtype: Any = None) -> NestedTensor:
    """A nested tensor of strided layout."""
    shapes = tuple(c.shape for c in components)
    flat = [c.reshape(-1).to(dtype or components[0].dtype) for c in components]
    return make(torch.cat(flat) if flat else torch.zeros(0, dtype=dtype), None, 1, shapes)


def jagged(components: Any) -> NestedTensor:
    """A nested tensor of jagged layout, of components that differ in one dimension at most."""
    shapes = [c.shape for c in components]
    differ = [d for d, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1] or [0]
    if len(differ) > 1:
        raise RuntimeError(f"components of a jagged tensor may differ in one dimension only, but these have the shapes "
                           f"{[tuple(s) for s in shapes]}: use layout=torch.strided")
    offsets = constant(np.cumsum([0] + [s[differ[0]] for s in shapes], dtype=np.int64))
    return make(torch.cat(list(components), differ[0]), ragged(offsets), differ[0] + 1)


def same_form(t: NestedTensor, components: Any) -> NestedTensor:
    """A nested tensor of components, in the layout of `t` and with its size where they fit."""
    if t._ragged is None:
        return strided(components)
    return make(torch.cat(list(components), t._ragged_idx - 1), t._ragged, t._ragged_idx)


def each(t: NestedTensor, fn: Callable) -> NestedTensor:
    """A strided tensor of what `fn` makes of each component."""
    return strided([fn(c) for c in t.unbind()])


def padded(t: NestedTensor, padding: float, output_size: Any = None) -> Tensor:
    """All components as one dense tensor, with `padding` behind the ends of shorter ones."""
    if t._ragged is None:
        largest = [max(sizes) for sizes in zip(*t._shapes, strict=True)]
        to = largest if output_size is None else list(output_size)[1:]
        if len(to) != len(largest) or any(a > b for a, b in zip(largest, to, strict=True)):
            raise RuntimeError("Value in output_size is less than NestedTensor padded size. Truncation is not supported.")
        widths = [[w for n, full in zip(reversed(s), reversed(to), strict=True) for w in (0, full - n)] for s in t._shapes]
        return torch.stack([F.pad(c, w, value=padding) for c, w in zip(t.unbind(), widths, strict=True)])
    without_holes(t, "to_padded_tensor")
    r, sizes = t._ragged_idx, t._ragged.sizes
    n = int(max(sizes, default=0)) if output_size is None else output_size[r]
    position, there, _ = t._ragged.padding(n)
    if not there.any():  # nothing to take
        return torch.full((len(sizes), *t._entries.shape[: r - 1], n, *t._entries.shape[r:]), padding, dtype=t.dtype)
    made = t._entries.index_select(r - 1, position).unflatten(r - 1, (len(sizes), n)).movedim(r - 1, 0)
    if there.all():
        return made
    missing = ~there.reshape(len(sizes), *[1] * (r - 1), n, *[1] * (t._entries.ndim - r))
    return made.masked_fill(constant(missing), padding)


def packed(t: NestedTensor, dense: Tensor) -> Tensor:
    """The entries in the places of `t`, of a tensor that was padded: the reverse of `padded`."""
    r = t._ragged_idx
    flat = dense.movedim(0, r - 1).flatten(r - 1, r)
    return flat.index_select(r - 1, t._ragged.padding(dense.shape[r])[2])


def _only_jagged(t: NestedTensor, name: str) -> Ragged:
    if t._ragged is None:
        raise AttributeError(f"a nested tensor of strided layout has no attribute '{name}'")
    return t._ragged


def without_holes(t: NestedTensor, name: str) -> None:
    if t._ragged is not None and t._ragged.lengths is not None:
        raise RuntimeError(f"{name}(): not supported for nested tensors with holes: call contiguous() first")


def inner_dim(t: NestedTensor, dim: int, name: str, ndim: int = 0, through: bool = False) -> int:
    """The dimension of the entries (or components) that `dim` is; RuntimeError for the batch's and the ragged one."""
    at = wrap_dim(dim, ndim or t.ndim)
    if at == 0 or at == t._ragged_idx and t._ragged is not None and not through:
        which = "dim=0" if at == 0 else "the ragged dim"
        raise RuntimeError(f"{name}(): not supported for nested tensors on {which}: use unbind() or to_padded_tensor()")
    return at - 1


def _rebuild(entries, places, idx, shapes, own, attributes):
    made = make(entries, None if places is None else ragged(*places), idx, shapes)
    made.__dict__.update(attributes)
    return made.requires_grad_() if own else made


# ---------------------------------------------------------------- elementwise: one operation on the entries

ELEMENTWISE = set("""
abs absolute acos acosh angle asin asinh atan atanh bernoulli bfloat16 bool byte ceil celu char clamp clamp_max clamp_min clip
clone conj cos cosh cpu deg2rad detach digamma double dropout elu empty_like erf erfc erfinv exp exp2 expm1 feature_alpha_dropout
alpha_dropout fill fix float frac full_like gelu half hardshrink hardsigmoid hardswish hardtanh i0 int isfinite isinf isnan
isneginf isposinf isreal leaky_relu lgamma log log10 log1p log2 logical_not logit logsigmoid long mish nan_to_num neg negative
ones_like positive rad2deg rand_like randint_like randn_like reciprocal relu relu6 round rrelu rsqrt selu sgn short sigmoid sign
signbit silu sin sinc sinh softplus softshrink softsign sqrt square tan tanh tanhshrink threshold to trunc type type_as zero zeros_like
bitwise_not add sub subtract mul multiply div divide true_divide floor_divide remainder fmod pow float_power maximum minimum fmax fmin
atan2 arctan2 hypot copysign logaddexp logaddexp2 xlogy lerp addcmul addcdiv where masked_fill eq ne lt le gt ge equal_to not_equal
less less_equal greater greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor nextafter heaviside ldexp rsub
""".split())


def operand_of(t: NestedTensor, x: Any) -> Any:
    """An operand of an elementwise function with `t`, so that it broadcasts to the entries of `t`."""
    if not isinstance(x, Tensor) or not x.is_nested and not x.ndim:
        return x
    wrong = RuntimeError(f"cannot call an elementwise function with a nested tensor of size {_size(t)} and a tensor of size "
                         f"{_size(x)}: tensors that are nested must be made of the same offsets")
    if isinstance(x, NestedTensor):
        fits = x._shapes == t._shapes if t._ragged is None else (x._ragged_idx, x.ndim) == (t._ragged_idx, t.ndim)
        if x._ragged is not t._ragged or not fits:
            raise wrong
        return x._entries
    if t._ragged is None:
        raise wrong
    if x.ndim > t.ndim:
        raise NotImplementedError(f"a dense tensor of size {_size(x)} has more dimensions than the nested one: squeeze() it first")
    r, own = t._ragged_idx, x.ndim == t.ndim
    if own and x.shape[0] == 1 and x.shape[r] == 1:
        return x.squeeze(0)
    while x.ndim and x.shape[0] == 1:
        x, own = x.squeeze(0), False
    if t.ndim >= x.ndim + 2:
        return x
    if not own or x.shape[0] != t.size(0):
        raise wrong
    without_holes(t, "broadcasting")
    if x.shape[r] == 1:
        return x.squeeze(r).movedim(0, r - 1).index_select(r - 1, t._ragged.rows)
    if x.shape[r] != max(t._ragged.sizes):
        raise wrong
    return packed(t, x)


def _size(x: Tensor) -> Any:
    return [tuple(s) for s in x._shapes] if isinstance(x, NestedTensor) and x._ragged is None else tuple(x.shape)


def elementwise(func: Callable, args: tuple, kwargs: dict) -> Any:
    """Call an elementwise function once, on the entries of all."""
    t = next(x for x in (*args, *kwargs.values()) if isinstance(x, NestedTensor))
    in_place = func.__name__.endswith("_")
    if in_place and args[0].__class__ is not NestedTensor:
        raise RuntimeError(f"{func.__name__}() cannot write a nested tensor into a dense one")
    result = func(*[operand_of(t, x) for x in args], **{k: operand_of(t, x) for k, x in kwargs.items()})
    if in_place or result is t._entries:
        return t
    return like(t, result) if isinstance(result, Tensor) else result
