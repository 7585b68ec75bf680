"""Tensors that modules own: parameters, buffers, and those whose shape is not known yet."""

from __future__ import annotations

from typing import Any

import rushlight
from rushlight.trace.overrides import disabled
from rushlight.trace.tensor import Parameter, Tensor

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]

_NO_SHAPE = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
    "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. "
    "Call `forward` to initialize the parameters before accessing their attributes."
)


class Buffer(Tensor):
    """A tensor that becomes a buffer when assigned to a module: `self.seen = Buffer(zeros(1))`.

    `persistent=False` leaves it out of the module's `state_dict`.

    >>> net = nn.Module()
    >>> net.seen = nn.Buffer(torch.zeros(1))
    >>> net.state_dict()
    OrderedDict([('seen', tensor([0.]))])
    """

    __slots__ = ()
    __torch_function__ = staticmethod(disabled)

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        data = rushlight.empty(0) if data is None else data
        buffer = data.detach()
        buffer.requires_grad_(data.requires_grad)
        buffer.__class__ = Buffer
        buffer.persistent = persistent
        return buffer

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        pass


class UninitializedTensorMixin:
    """A parameter or buffer of a lazy module before its first input has shown its shape.

    >>> isinstance(nn.LazyLinear(2).weight, nn.parameter.UninitializedTensorMixin)
    True
    """

    __slots__ = ()
    _initialized_class: type = Tensor

    def materialize(self: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give the tensor its shape; from here on it is an ordinary parameter or buffer."""
        dtype = self._lazy_dtype if dtype is None else dtype
        self.__class__ = self._initialized_class
        self.data = rushlight.empty(tuple(shape), device=device, dtype=dtype)

    @property
    def shape(self) -> Any:
        raise RuntimeError(_NO_SHAPE)

    def __deepcopy__(self: Any, memo: dict) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, dtype=self._lazy_dtype)
        return memo[id(self)]

    def __reduce_ex__(self: Any, protocol: Any) -> tuple:
        return type(self), (self.requires_grad, None, self._lazy_dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    @property
    def data(self: Any) -> Any:
        return self

    @data.setter
    def data(self: Any, value: Any) -> None:
        if isinstance(value, UninitializedTensorMixin):
            self._lazy_dtype = value._lazy_dtype
        else:
            self._initialized_class.data.__set__(self, value)  # type: ignore[attr-defined]


def _refuse(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(
            f"Attempted to use an uninitialized parameter in {name}. This error happens when you "
            "are using a `LazyModule` or explicitly manipulating `torch.nn.parameter."
            f"{type(self).__name__}` objects. When using LazyModules Call `forward` with a dummy "
            "batch to initialize the parameters before calling torch functions"
        )

    return method


for _name in (
    "__add__ __radd__ __mul__ __rmul__ __sub__ __rsub__ __truediv__ __matmul__ __getitem__ add mul "
    "add_ mul_ sum mean view reshape copy_ clone item numpy tolist size dim"
).split():
    setattr(UninitializedTensorMixin, _name, _refuse(_name))


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter of a lazy module: no shape before the first forward pass.

    >>> weight = nn.UninitializedParameter()
    >>> weight.materialize((2, 3))
    >>> weight.shape, type(weight).__name__
    (torch.Size([2, 3]), 'Parameter')
    """

    __slots__ = ()
    _initialized_class = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        parameter = Parameter(rushlight.empty(0, device=device, dtype=dtype), requires_grad)
        parameter.__class__ = cls
        parameter._lazy_dtype = dtype
        return parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        pass


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer of a lazy module: no shape before the first forward pass.

    >>> buffer = nn.UninitializedBuffer()
    >>> buffer.materialize((2, 3))
    >>> buffer.shape
    torch.Size([2, 3])
    """

    __slots__ = ()
    __torch_function__ = staticmethod(disabled)
    _initialized_class = Tensor

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> Any:
        buffer = rushlight.empty(0, device=device, dtype=dtype)
        buffer.__class__ = cls
        buffer._lazy_dtype = dtype
        buffer.persistent = persistent
        return buffer

    def __init__(
        self,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        pass


def is_lazy(param: Any) -> bool:
    """Whether a parameter or buffer still waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)
