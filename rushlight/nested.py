"""torch.nested: batches of tensors of different sizes, without padding.

Two layouts: torch.jagged, whose components differ along one dimension only, so that a whole batch is one dense tensor and
its offsets (use this one), and torch.strided (PyTorch's default), whose components may differ in every dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rushlight as torch
from rushlight.trace.tensor import Tensor

from .answers import finder as _finder

__all__ = ["as_nested_tensor", "masked_select", "narrow", "nested_tensor", "nested_tensor_from_jagged", "to_padded_tensor"]


def _module() -> Any:
    """The class and its functions: from their import on, calls look for nested tensors, so only who makes some imports them."""
    from . import nested_forms, nested_tensor  # noqa: F401 - the forms are found in a table

    return nested_tensor


def _of_components(components: Sequence[Tensor], layout: Any, dtype: Any, device: Any) -> Tensor:
    if layout not in (None, torch.strided, torch.jagged):
        raise RuntimeError(f"Specified layout is unsupported for nested tensors: {layout}")
    for c in components:
        if c.ndim != components[0].ndim:
            raise RuntimeError(f"all components of a nested tensor must have the same number of dimensions, but their shapes are "
                               f"{[tuple(c.shape) for c in components]}")
    components = [c.to(device) if device is not None else c for c in components]
    if layout is not torch.jagged:
        return _module().strided(components, dtype)
    if not components or components[0].ndim == 0:
        raise RuntimeError("a nested tensor of jagged layout needs components of at least one dimension, and at least one component")
    if any(c.dtype is not components[0].dtype for c in components):
        raise RuntimeError(f"all components of a jagged tensor must have the same dtype, not {[c.dtype for c in components]}")
    return _module().jagged([c.to(dtype) if dtype is not None else c for c in components])


def nested_tensor(
    tensor_list: Sequence[Any], *, dtype: torch.dtype | None = None, layout: torch.layout | None = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:
    """A nested tensor that copies its components; a leaf, without their history.

    tensor_list: tensors of the same number of dimensions, or what `torch.tensor` takes. dtype: by default that of the first
    component. layout: torch.strided (None) or torch.jagged. pin_memory: accepted. Raises TypeError if this is no list,
    RuntimeError for components of different numbers of dimensions, and in the jagged layout for those of different
    dtypes or that differ in more than one dimension.

    >>> x = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], requires_grad=True)
    >>> x
    nested_tensor([
      tensor([1., 1.], requires_grad=True),
      tensor([1., 1., 1.], requires_grad=True)
    ], requires_grad=True)
    """
    if layout is not torch.jagged and not isinstance(tensor_list, (list, tuple)):
        raise TypeError(f"nested_tensor(): expected a list of tensors (or of nested lists of numbers), not {type(tensor_list).__name__}")
    with torch.no_grad():
        components = [t.detach() if isinstance(t, Tensor) else torch.as_tensor(t) for t in tensor_list]
        made = _of_components(components, layout, dtype, device)
    return made.requires_grad_(requires_grad)


def as_nested_tensor(
    ts: Tensor | Sequence[Tensor], dtype: torch.dtype | None = None, device: Any = None, layout: torch.layout | None = None,
) -> Tensor:
    """A nested tensor of tensors, through which gradients flow to them.

    ts: tensors as for `nested_tensor`, or one dense tensor (batch, ...) whose rows are the components, or a nested tensor of
    this layout, which is returned. Raises TypeError for anything else, RuntimeError for a dense tensor with less than two
    dimensions and for a nested tensor of the other layout.

    >>> a, b = torch.ones(2, requires_grad=True), torch.ones(3)
    >>> x = torch.nested.as_nested_tensor([a, b], layout=torch.jagged)
    >>> (2 * x).sum().backward()
    >>> x.is_leaf, a.grad
    (False, tensor([2., 2.]))
    """
    if isinstance(ts, Tensor) and ts.is_nested:
        if layout is not ts.layout:
            raise RuntimeError(f"as_nested_tensor(): cannot convert a nested tensor of layout {ts.layout} to {layout}: unbind() it first")
        return ts if dtype is None and device is None else ts.to(device=device, dtype=dtype)
    if isinstance(ts, Tensor):
        if ts.dim() < 2:
            raise RuntimeError(f"as_nested_tensor(): expected a tensor with at least 2 dimensions, not one of shape {tuple(ts.shape)}")
        return _of_components(torch.unbind(ts), layout, dtype, device)
    if not isinstance(ts, (list, tuple)) or not all(isinstance(t, Tensor) for t in ts):
        raise TypeError("as_nested_tensor(): expected a tensor or a list of tensors; nested_tensor() takes numbers")
    return _of_components(ts, layout, dtype, device)


def nested_tensor_from_jagged(
    values: Tensor, offsets: Tensor | None = None, lengths: Tensor | None = None, jagged_dim: int | None = None,
    min_seqlen: int | None = None, max_seqlen: int | None = None,
) -> Tensor:
    """A nested tensor of jagged layout on `values`, whose memory and history it shares.

    values: components one after another along dimension `jagged_dim - 1`. offsets: (batch + 1) integers, where components
    begin, and the end. lengths: (batch) integers; with offsets, components are this long and there may be holes behind
    them. jagged_dim: the ragged dimension of the result (1). min_seqlen, max_seqlen: accepted. Tensors
    made of the same `offsets` have the same ragged size, so functions take them together. Raises RuntimeError without offsets
    and lengths, ValueError and IndexError for a `jagged_dim` that is none.

    >>> x = torch.nested.nested_tensor_from_jagged(torch.arange(5), torch.tensor([0, 2, 5]))
    >>> x.unbind()
    (tensor([0, 1]), tensor([2, 3, 4]))
    """
    if offsets is None:
        if lengths is None:
            raise RuntimeError("nested_tensor_from_jagged(): at least one of offsets and lengths is needed")
        offsets, lengths = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)), None
    dim = 1 if jagged_dim is None else jagged_dim
    if dim < 1:
        raise ValueError(f"nested_tensor_from_jagged(): expected jagged_dim >= 1, not {dim}")
    if dim > values.ndim:
        raise IndexError(f"nested_tensor_from_jagged(): jagged_dim {dim} is out of range for values with {values.ndim} dimensions")
    for t in (offsets,) if lengths is None else (offsets, lengths):
        if not isinstance(t, Tensor) or t.is_floating_point():
            raise TypeError("nested_tensor_from_jagged(): offsets and lengths must be tensors of integers")
        if t.ndim != 1:
            raise AssertionError(f"nested_tensor_from_jagged(): offsets and lengths must have 1 dimension, not {t.ndim}")
    if lengths is not None and len(lengths) != len(offsets) - 1:
        raise AssertionError(f"nested_tensor_from_jagged(): {len(lengths)} lengths do not fit {len(offsets)} offsets: one less is needed")
    module = _module()
    return module.make(values, module.ragged(offsets, lengths), dim)


def to_padded_tensor(input: Tensor, padding: float, output_size: Sequence[int] | None = None, out: Tensor | None = None) -> Tensor:
    """All components in one dense tensor (batch, ...), with `padding` behind the ends of shorter ones.

    output_size: by default the largest size of each dimension. In the jagged layout only its ragged size counts, and longer
    components are cut. Raises RuntimeError where it is too small for the strided layout, and
    NotImplementedError if `input` is not nested.

    >>> x = torch.nested.nested_tensor([torch.ones(1), torch.ones(3)])
    >>> torch.nested.to_padded_tensor(x, 0.0)
    tensor([[1., 0., 0.],
            [1., 1., 1.]])
    """
    if not input.is_nested:
        raise NotImplementedError("to_padded_tensor() is for nested tensors: nn.functional.pad and nn.utils.rnn.pad_sequence pad others")
    return input.to_padded_tensor(padding, output_size, out)


def narrow(
    tensor: Tensor, dim: int, start: int | Tensor, length: int | Tensor, layout: torch.layout = torch.strided,
) -> Tensor:
    """The elements [start, start + length) of dimension `dim` of a dense tensor (batch, n, ...), different for each row.

    start, length: integers or, in the jagged layout, (batch) integers. In the jagged layout `dim` is 1 and the result shares
    the memory of `tensor`, with holes between its components. In the strided layout only `dim` 0 works. Raises
    RuntimeError for what is not supported.

    >>> x = torch.arange(8).reshape(2, 4)
    >>> torch.nested.narrow(x, 1, torch.tensor([0, 1]), torch.tensor([2, 3]), layout=torch.jagged).unbind()
    (tensor([0, 1]), tensor([5, 6, 7]))
    """
    if not all(isinstance(n, (int, Tensor)) for n in (start, length)):
        raise RuntimeError("narrow(): start and length must be integers or tensors")
    if layout is torch.strided:
        if isinstance(start, Tensor) or isinstance(length, Tensor):
            raise RuntimeError("narrow(): start and length must be integers for the strided layout")
        return as_nested_tensor(torch.unbind(tensor)).narrow(dim, start, length)
    if layout is not torch.jagged:
        raise RuntimeError(f"Specified layout is unsupported for nested narrow: {layout}")
    if dim != 1:
        raise RuntimeError(f"narrow(): only dim=1 is supported for the jagged layout, not {dim}")
    n, size = tensor.shape[:2]
    starts, lengths = (torch.as_tensor(x).to(torch.int64).expand(n) for x in (start, length))
    begins = torch.arange(n) * size + starts
    offsets = torch.cat([begins, begins[-1:] + lengths[-1:]])
    return nested_tensor_from_jagged(tensor.flatten(0, 1), offsets, lengths.contiguous())


def masked_select(tensor: Tensor, mask: Tensor) -> Tensor:
    """Of each row of a dense tensor (..., n) the elements where `mask` is True, as a nested tensor (rows, ragged).

    mask: bool, broadcasts to `tensor`. Raises RuntimeError for tensors that are not strided.

    >>> x = torch.arange(6).reshape(2, 3)
    >>> torch.nested.masked_select(x, x % 2 == 0).unbind()
    (tensor([0, 2]), tensor([4]))
    """
    for t in (tensor, mask):
        if t.layout is not torch.strided or t.is_nested:
            raise RuntimeError(f"masked_select() of torch.nested takes strided tensors, not one of layout {t.layout}")
    kept = mask.expand(tensor.shape).sum(-1).view(-1)
    return nested_tensor_from_jagged(tensor.masked_select(mask), lengths=kept)


__getattr__ = _finder(__name__)
