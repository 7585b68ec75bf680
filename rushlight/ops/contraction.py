"""Products of several factors by named dimensions: einsum, tensordot, bilinear, kron."""

from __future__ import annotations

import math

from ..trace.forms import write_out
from ..trace.operator import Tensor, function
from ..trace.tensor import Tensor as TensorClass
from . import rules
from .matmul import matmul


def _letters(spec: str, ndim: int, place: int, wide: int) -> list[str]:
    """One name for each dimension of an operand; the ellipsis becomes numbered names."""
    spec = spec.replace(" ", "")
    head, dots, tail = spec.partition("...")
    names = list(head)
    if dots:
        n = ndim - len(head) - len(tail)
        if n < 0:
            rules.fail(
                RuntimeError,
                f"einsum(): the number of subscripts in the equation ({len(head) + len(tail)}) is "
                f"more than the number of dimensions ({ndim}) for operand {place}",
            )
        names += [f".{wide - n + i}" for i in range(n)] + list(tail)
    for c in names:
        if len(c) == 1 and not c.isalpha():
            rules.fail(
                RuntimeError,
                f"einsum(): invalid subscript given at index {spec.find(c)} in the equation "
                "string, subscripts must be in [a-zA-Z]",
            )
    if len(names) != ndim:
        rules.fail(
            RuntimeError,
            f"einsum(): the number of subscripts in the equation ({len(names)}) does not match the "
            f"number of dimensions ({ndim}) for operand {place} and no ellipsis was given",
        )
    return names


def _diagonal(t, names):
    """An operand whose repeated names are reduced to diagonals."""
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            i = names.index(name)
            j = names.index(name, i + 1)
            if t.shape[i] != t.shape[j]:
                rules.fail(
                    RuntimeError,
                    f"einsum(): subscript {name} is repeated for operand but the sizes don't match, "
                    f"{t.shape[j]} != {t.shape[i]}",
                )
            t = t.diagonal(0, i, j)
            names = [n for k, n in enumerate(names) if k not in (i, j)] + [name]
    return t, names


def _aligned(t, names, order):
    """A view of `t` with dimensions in `order`, size 1 where a name is missing."""
    t = t.permute(*[names.index(n) for n in order if n in names]) if names else t
    for i, n in enumerate(order):
        if n not in names:
            t = t.unsqueeze(i)
    return t


def _pair(a, an, b, bn, keep):
    """The product of two operands, summed over the names that nobody needs any more."""
    shared = [n for n in an if n in bn]
    alone_a = [n for n in an if n not in bn and n not in keep]
    alone_b = [n for n in bn if n not in an and n not in keep]
    if alone_a:
        a = a.sum(tuple(an.index(n) for n in alone_a), dtype=a.dtype)
        an = [n for n in an if n not in alone_a]
    if alone_b:
        b = b.sum(tuple(bn.index(n) for n in alone_b), dtype=b.dtype)
        bn = [n for n in bn if n not in alone_b]
    batch = [n for n in shared if n in keep]
    inner = [n for n in shared if n not in keep]
    left = [n for n in an if n not in shared]
    right = [n for n in bn if n not in shared]
    size = {n: s for n, s in zip(bn, b.shape, strict=True)}
    for n, s in zip(an, a.shape, strict=True):
        if s != 1 or n not in size:
            size[n] = s

    def expand(t, names, order):
        t = t.permute(*[names.index(n) for n in order]) if order else t
        return t.expand(*[size[n] for n in order]) if order else t

    if not inner and not left and not right:
        made = _aligned(a, an, batch) * _aligned(b, bn, batch)
        return made, batch
    x = expand(a, an, [*batch, *left, *inner])
    y = expand(b, bn, [*batch, *inner, *right])
    lead = [size[n] for n in batch]
    rows, cols = math.prod(size[n] for n in left), math.prod(size[n] for n in right)
    deep = math.prod(size[n] for n in inner)
    x = x.reshape(math.prod(lead), rows, deep) if batch else x.reshape(rows, deep)
    y = y.reshape(math.prod(lead), deep, cols) if batch else y.reshape(deep, cols)
    made = matmul(x, y)
    names = [*batch, *left, *right]
    return made.reshape([size[n] for n in names]), names


def _from_sublists(args):
    """The equation and operands of `einsum(op1, [0, 1], op2, [1, 2], [0, 2])`."""
    def text(subs):
        out = []
        for s in subs:
            if s is Ellipsis:
                out.append("...")
            else:
                if not 0 <= s < 52:
                    raise RuntimeError(
                        f"einsum(): subscript {s} is not within the valid range [0, 52)"
                    )
                out.append(chr(ord("A") + s) if s < 26 else chr(ord("a") + s - 26))
        return "".join(out)

    operands, specs = [], []
    rest = list(args)
    while len(rest) >= 2:
        operands.append(rest.pop(0))
        specs.append(text(rest.pop(0)))
    equation = ",".join(specs)
    return equation + ("->" + text(rest[0]) if rest else ""), operands


@function(api="torch")
def einsum(equation, *operands):
    """The sum of products named by an equation in Einstein's notation, e.g. "ij,jk->ik".

    Names that do not occur in the output are summed; `...` stands for further dimensions, which
    broadcast. Also in sublist form. Raises RuntimeError for equations that do not fit the operands.

    >>> a, b = torch.ones(5, 2, 3), torch.ones(5, 3, 4)
    >>> torch.einsum("bij,bjk->bik", a, b).shape
    torch.Size([5, 2, 4])
    """
    if isinstance(equation, TensorClass):
        equation, operands = _from_sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    specs = inputs.split(",")
    if len(specs) != len(operands):
        more = "more" if len(specs) < len(operands) else "fewer"
        raise RuntimeError(
            f"einsum(): {more} operands were provided than specified in the equation"
        )
    wide = max(
        (t.ndim - len(s.replace("...", "")) for s, t in zip(specs, operands, strict=True)
         if "..." in s), default=0,
    )
    parts = []
    for i, (s, t) in enumerate(zip(specs, operands, strict=True)):
        parts.append(_diagonal(t, _letters(s, t.ndim, i, wide)))
    dots = [f".{i}" for i in range(wide)]
    every = [n for _, names in parts for n in names]
    if arrow:
        head, mark, tail = output.partition("...")
        order = [*head, *(dots if mark else []), *tail]
        if len(set(order)) != len(order):
            raise RuntimeError("einsum(): output subscript appears more than once in the output")
    else:
        order = [*dots, *sorted(n for n in set(every) if n[0] != "." and inputs.count(n) == 1)]
    for n in order:
        if n not in every:
            raise RuntimeError(
                f"einsum(): output subscript {n} does not appear in the equation for any input "
                "operand"
            )
    size: dict = {}
    for t, names in parts:
        for n, s in zip(names, t.shape, strict=True):
            if size.setdefault(n, s) != s and s != 1:
                if size[n] != 1:
                    raise RuntimeError(
                        f"einsum(): subscript {n} has size {s} for operand which does not broadcast "
                        f"with previously seen size {size[n]}"
                    )
                size[n] = s
    while len(parts) > 1:
        (a, an), (b, bn) = parts[0], parts[1]
        keep = set(order).union(*(names for _, names in parts[2:]))
        parts[:2] = [_pair(a, an, b, bn, keep)]
    made, names = parts[0]
    gone = tuple(i for i, n in enumerate(names) if n not in order)
    if gone:
        made = made.sum(gone)
        names = [n for n in names if n in order]
    if names != order:
        made = made.permute(*[names.index(n) for n in order])
    shape = [size[n] for n in order]
    return made if list(made.shape) == shape else made.expand(*shape)


@function(api="torch")
def tensordot(a: Tensor, b: Tensor, dims=2, out=None):
    """The product summed over `dims` last and first dimensions, or over two lists of dimensions.

    >>> torch.tensordot(torch.ones(2, 3, 4), torch.ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    torch.Size([2, 5])
    """
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        da, db = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        if isinstance(dims, TensorClass):
            dims = dims.tolist()
        da, db = ([d] if isinstance(d, int) else list(d) for d in dims)
    da = [rules.wrap_dim(d, a.ndim) for d in da]
    db = [rules.wrap_dim(d, b.ndim) for d in db]
    for i, j in zip(da, db, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} "
                f"and second has size {b.shape[j]} in dim {j}"
            )
    ra = [d for d in range(a.ndim) if d not in da]
    rb = [d for d in range(b.ndim) if d not in db]
    for i, j in zip(da, db, strict=True):  # a contracted dimension of size 1 is broadcast
        if a.shape[i] != b.shape[j]:
            a = a.sum(i, keepdim=True, dtype=a.dtype) if b.shape[j] == 1 else a
            b = b.sum(j, keepdim=True, dtype=b.dtype) if a.shape[i] == 1 else b
    inner = math.prod(a.shape[d] for d in da)
    rows, columns = (math.prod(t.shape[d] for d in kept) for t, kept in ((a, ra), (b, rb)))
    x = (a.permute(*ra, *da) if a.ndim else a).reshape(rows, inner)
    y = (b.permute(*db, *rb) if b.ndim else b).reshape(inner, columns)
    made = (x @ y).reshape([*(a.shape[d] for d in ra), *(b.shape[d] for d in rb)])
    return made if out is None else write_out("tensordot", made, out)


@function(api="torch Tensor", out=True)
def kron(input: Tensor, other: Tensor):
    """The Kronecker product."""
    n = max(input.ndim, other.ndim)
    a = input.reshape((1,) * (n - input.ndim) + tuple(input.shape))
    b = other.reshape((1,) * (n - other.ndim) + tuple(other.shape))
    x = a.reshape([k for s in a.shape for k in (s, 1)])
    y = b.reshape([k for s in b.shape for k in (1, s)])
    return (x * y).reshape([p * q for p, q in zip(a.shape, b.shape, strict=True)])


@function(api="nn.functional torch")
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias=None):
    """`x1^T A x2 + b` for each output feature; weight (out, in1, in2)."""
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {list(input1.shape)} and "
            f"{list(input2.shape)}"
        )
    if weight.ndim != 3 or not input1.ndim or not input2.ndim:
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.ndim}, {input2.ndim} and a weight of {weight.ndim} dims, expected 3")
    for k, x in enumerate((input1, input2), 1):
        if x.shape[-1] != weight.shape[k]:
            raise RuntimeError(f"bilinear(): input{k} size does not match weight size: got {x.shape[-1]} but expected {weight.shape[k]}")
    if bias is not None and not bias.ndim:
        raise IndexError("bilinear(): the bias has no dimensions")
    if bias is not None and len(bias) != len(weight):
        raise RuntimeError(f"bilinear(): bias size does not match weight size: got {len(bias)} but expected {len(weight)}")
    made = einsum("...i,oij,...j->...o", input1, weight, input2)
    return made if bias is None else made + bias
