"""`MaskedTensor`: a tensor of which a boolean mask says which elements are specified.

A `MaskedTensor` is the tensor of its data, and carries the mask. Operators reach `__torch_function__`, where a table
(`masked_forms.py`) says by the operator's name what it does with masks. What is not in the table raises
TypeError. Results are copies, those of views too, so that no mask is shared.

Deliberate differences from PyTorch: no warning that this is a prototype; a plain tensor's gradient is a plain
tensor, 0 where the mask left elements out; the gradient of a MaskedTensor is specified where its data is, even
where nothing depends on it; `copy_` from another mask raises; functions of torch.masked that are given a mask besides
a MaskedTensor's keep what both keep. Norms, `1 - x`, `var(correction=0)` and gradients of clamp, sigmoid and
indexing by tensors work, which fail there. Layouts other than torch.strided are refused.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import rushlight as torch
from rushlight.trace import overrides
from rushlight.trace.tensor import Tensor

__all__ = ["MaskedTensor", "as_masked_tensor", "is_masked_tensor", "masked_tensor"]

# {operator: what it does with masked tensors}; filled by masked_forms.py
FORMS: dict[str, Callable] = {}
PLAIN = overrides.DisableTorchFunction


def is_masked_tensor(obj: Any, /) -> bool:
    """Whether `obj` is a MaskedTensor.

    >>> torch.masked.is_masked_tensor(torch.ones(2))
    False
    """
    return isinstance(obj, MaskedTensor)


def masked_tensor(data: Tensor, mask: Tensor, requires_grad: bool = False) -> MaskedTensor:
    """A MaskedTensor of copies of `data` and `mask`, without the data's history: a leaf.

    data: any shape; float16, float32, float64, bool, or a signed integer dtype. mask: bool, of the same
    shape; True where an element is specified. Raises TypeError for other dtypes and for what is no
    plain tensor, ValueError for other shapes, NotImplementedError for sparse layouts.

    >>> torch.masked.masked_tensor(torch.tensor([1.0, 2.0]), torch.tensor([False, True]))
    MaskedTensor(
      [      --,   2.0000]
    )
    """
    return MaskedTensor(data, mask, requires_grad)


def as_masked_tensor(data: Tensor, mask: Tensor) -> MaskedTensor:
    """As `masked_tensor`, but gradients flow to `data`: 0 to what the mask leaves out, whatever was computed there.

    Shapes, dtypes and errors are those of `masked_tensor`.

    >>> x = torch.tensor([-1.0, 4.0], requires_grad=True)
    >>> torch.masked.as_masked_tensor(x, x > 0).sqrt().sum().backward()
    >>> x.grad
    tensor([0.0000, 0.2500])
    """
    _validate(data, mask)
    return made_of(torch.where(mask, data, data.detach()), mask.detach().clone())


class MaskedTensor(Tensor):
    """A tensor of which a boolean mask says which elements are specified; arguments as `masked_tensor`'s.

    Elementwise operators leave the mask as it is, and want those of two operands to match (ValueError);
    views, indexing, `cat` and `stack` apply to the mask as well; reductions count specified elements
    only. The gradient is a MaskedTensor of the same mask. Other operators raise TypeError.

    >>> x = torch.masked.MaskedTensor(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[True, False], [True, True]]))
    >>> x.sum(0)
    MaskedTensor(
      [4, 4]
    )
    >>> (x * 2).to_tensor(0)
    tensor([[2, 0],
            [6, 8]])
    """

    _mask: Tensor
    _late = True  # calls are looked at since there is a masked tensor, not since there is the class

    def __new__(cls, data: Tensor, mask: Tensor, requires_grad: bool = False):
        _validate(data, mask)
        if data.requires_grad:
            import warnings

            warnings.warn(
                "masked_tensor: the data requires grad, but gradients do not flow to it: use as_masked_tensor, or pass "
                "data.detach() and requires_grad=True", UserWarning, stacklevel=2,
            )  # fmt: skip
        made = made_of(data.detach().clone(), mask.detach().clone())
        return made.requires_grad_() if requires_grad else made

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = func.__name__.strip("_") if func.__name__.startswith("__") else func.__name__
        handle = FORMS.get(name)
        if handle is None:
            raise TypeError(f"{name}() is not implemented for MaskedTensor: use to_tensor(value) or get_data() first")
        return handle(func, *args, **(kwargs or {}))

    # ------------------------------------------------------------ its parts

    def get_data(self) -> Tensor:
        """The data as a tensor of the same memory, also what is not specified; gradients flow through it."""
        with PLAIN():
            return self.view_as(self)

    def get_mask(self) -> Tensor:
        """The mask, a bool tensor of the same shape: True where an element is specified."""
        return self._mask

    def to_tensor(self, value: float | int | bool) -> Tensor:
        """The data as a tensor, with `value` where elements are not specified."""
        return self.get_data().masked_fill(~self._mask, value)

    @property
    def data(self) -> MaskedTensor:  # type: ignore[override]
        """A copy without history."""
        return self.detach()

    def copy_(self, src: Tensor, non_blocking: bool = False) -> MaskedTensor:
        """Take over the data of `src`; ValueError if it has another mask."""
        check_match("copy_", self, src)
        with PLAIN():
            super().copy_(src, non_blocking)
        return self

    # ------------------------------------------------------------ gradients: with the mask

    def _shown_gradient(self, g: Tensor) -> MaskedTensor:
        """The gradient of the data as users see it."""
        return made_of(g.view_as(g), self._mask)

    def _cotangent(self) -> Tensor:
        """This as the gradient of a tensor: 0 where it is not specified."""
        return self.to_tensor(0)

    @property
    def grad(self):
        """The gradient that backward() accumulated, a MaskedTensor with this mask, or None."""
        return None if self._grad is None else self._shown_gradient(self._grad)

    @grad.setter
    def grad(self, value: Tensor | None):
        Tensor.grad.fset(self, plain(value))  # type: ignore[attr-defined]

    @grad.deleter
    def grad(self):
        self._grad = None

    def register_hook(self, hook: Callable):
        """Call `hook(grad)` with the MaskedTensor when the gradient is known; it may return another."""
        return super().register_hook(lambda g: plain(hook(self._shown_gradient(g))))

    # ------------------------------------------------------------ exchange with Python

    def item(self):
        """The value of a one-element tensor; ValueError if it is not specified."""
        if self.numel() == 1 and not self._mask.item():
            raise ValueError("item(): the element of this MaskedTensor is not specified")
        return super().item()

    def tolist(self):
        """RuntimeError: ask for to_tensor(value) first."""
        raise RuntimeError(".tolist() is not supported for MaskedTensors: use to_tensor(value).tolist()")

    def numpy(self, *, force: bool = False):
        """RuntimeError: ask for to_tensor(value) first."""
        raise RuntimeError(".numpy() is not supported for MaskedTensors: use to_tensor(value).numpy()")

    def as_subclass(self, cls: type):
        """TypeError: ask for get_data() first."""
        raise TypeError("as_subclass() is not implemented for MaskedTensor: use get_data() first")

    def __repr__(self, *, tensor_contents=None) -> str:  # type: ignore[override]
        values, kept = self.get_data().detach().tolist(), self._mask.tolist()
        if self.ndim == 0:
            return f"MaskedTensor({_shown(values) if kept else '--'}, {kept})"
        return f"MaskedTensor(\n{textwrap.indent(_rows(values, kept), '  ')}\n)"

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec)

    def __reduce_ex__(self, protocol):
        return MaskedTensor, (self.get_data().detach(), self._mask, self.requires_grad)


def _shown(x: Any) -> str:
    return f"{x:8.4f}" if isinstance(x, float) else str(x)


def _rows(values: list, kept: list) -> str:
    if values and isinstance(values[0], list):
        rows = [textwrap.indent(_rows(v, k), "  ") for v, k in zip(values, kept, strict=True)]
        return "[\n" + ",\n".join(rows) + "\n]"
    texts = [_shown(x) for x in values]
    width = max([len(t) if k else 8 for t, k in zip(texts, kept, strict=True)], default=0)
    return "[" + ", ".join([t if k else "--".rjust(width) for t, k in zip(texts, kept, strict=True)]) + "]"


# ---------------------------------------------------------------- construction


def _validate(data: Any, mask: Any) -> None:
    """Raise what the maker of a MaskedTensor of these raises."""
    for name, t in (("data", data), ("mask", mask)):
        if is_masked_tensor(t) or not isinstance(t, Tensor):
            raise TypeError(f"{name} must be a Tensor, not {type(t).__name__}")
    if data.layout is not mask.layout:
        raise TypeError(f"data and mask must have the same layout, not {data.layout} and {mask.layout}")
    if data.layout is not torch.strided:
        raise NotImplementedError(
            f"MaskedTensor: data of layout {data.layout} is not supported, only torch.strided: use to_dense()"
        )
    _check_dtypes(data, mask)
    if data.ndim != mask.ndim:
        raise ValueError(f"data.dim() must equal mask.dim(), but they are {data.ndim} and {mask.ndim}")
    if data.shape != mask.shape:
        raise ValueError(f"data.size() must equal mask.size(), but they are {list(data.shape)} and {list(mask.shape)}")


def _check_dtypes(data: Tensor, mask: Tensor) -> None:
    if mask.dtype is not torch.bool:
        raise TypeError(f"mask must have dtype bool, not {mask.dtype}")
    if data.dtype not in (torch.float16, torch.float32, torch.float64, torch.bool, torch.int8, torch.int16, torch.int32,
                          torch.int64):  # fmt: skip
        raise TypeError(f"{data.dtype} is not supported in MaskedTensor")


def made_of(data: Tensor, mask: Tensor) -> MaskedTensor:
    """The tensor `data` itself as a MaskedTensor."""
    _check_dtypes(data, mask)
    overrides.activate()
    made = overrides.converted(data, MaskedTensor)
    made._mask = mask
    return made


def wrapped(data: Any, mask: Any) -> Any:
    """Results with masks of their own; copies of the data where it is an input's memory."""
    if isinstance(data, (list, tuple)):
        return type(data)([wrapped(d, m) for d, m in zip(data, mask, strict=True)])
    with PLAIN():
        if data._base is not None or data.__class__ is not Tensor:
            data = data.clone()
        return made_of(data, mask.clone())


def plain(g: Any) -> Any:
    """A gradient that a user gives as the engine knows it."""
    return g._cotangent() if is_masked_tensor(g) else g


def check_match(name: str, a: Any, b: Any) -> None:
    """ValueError if both have masks, and these differ."""
    if is_masked_tensor(a) and is_masked_tensor(b) and not (a.ndim == b.ndim and bool((a._mask == b._mask).all())):
        raise ValueError(f"{name}: the masks of both MaskedTensors must match")
