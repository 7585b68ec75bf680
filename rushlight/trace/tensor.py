"""`Tensor`: a handle on a value of the trace, or on memory once it has been computed.

A handle holds its node (shape, dtype, whether it requires grad) and, when it is outside of the running
segment, its array. Operators are attached from the operator table (`attach_operators`); what is
written here is what no operator can be: identity, memory, history, and the exchange with Python
and NumPy.
"""

from __future__ import annotations

import numpy as np

from ..interpret.placeholder import NO_DATA
from . import dtypes, overrides, segments, trie
from .device import META
from .meta import Meta, at_offset, meta, on
from .segments import array, end_segment, settle
from .trie import LEAF, RECORDER, VARIABLE, Storage, idle

new = object.__new__
HOOKED = overrides.ACTIVE  # whether a subclass or mode that overrides functions exists
_DEFAULTS = {
    "_buf": None,
    "_history": None,
    "_storage": None,
    "_base": None,
    "_generation": 0,
    "_hooks": None,
    "_grad": None,
    "_post_hooks": None,
    "_retains": False,
    "_silent": False,
    "_offset": 0,
}


class TensorMeta(type):
    """Makes `isinstance` and class attributes behave as PyTorch's for Tensor subclasses."""


class Tensor:
    """An array of one dtype, with any number of dimensions and automatic differentiation.

    Made by `torch.tensor` and the other functions that make tensors; operators are methods as well
    as functions. `requires_grad` asks for gradients, `backward()` puts them into `grad`. NumPy's
    functions accept tensors; `numpy()` shares memory. As PyTorch's torch.Tensor.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad, x.shape, x.dtype
    (tensor([2., 4.]), torch.Size([2]), torch.float32)
    """

    __slots__ = (
        "_s",  # node of the running segment, or an idle node
        "_tr",  # the recorder it is pending in, or None
        "_buf",  # its array, when computed
        "_history",  # (Segment, node) that made it, if it has autograd history outside the trace
        "_storage",  # identity of the memory, made when first shared
        "_base",  # the tensor this is a view of
        "_generation",  # of the storage's history when this view was made
        "_hooks",
        "_post_hooks",
        "_grad",
        "_retains",
        "_silent",  # made by .data: writes through it are not noticed by autograd
        "_offset",  # of a view made outside of the trace: not in its Meta
        "__dict__",
        "__weakref__",
    )
    __array_priority__ = 1000

    def __new__(cls, *args, **kwargs):
        from .construct import legacy_tensor

        return legacy_tensor(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        pass

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        overrides.subclass_defined(cls)

    def __getattr__(self, name):
        # a slot that was never set has its default: new handles only pay for two stores
        try:
            value = _DEFAULTS[name]
        except KeyError:
            raise AttributeError(
                f"'{type(self).__name__}' object has no attribute '{name}'"
            ) from None
        setattr(self, name, value)  # handles that live long are asked again and again
        return value

    # ------------------------------------------------------------ what is known without values

    shape = property(lambda self: self._s.m.shape, doc="The size of each dimension, a torch.Size.")
    dtype = property(lambda self: self._s.m.dtype, doc="The element type.")
    ndim = property(lambda self: self._s.m.ndim, doc="Number of dimensions.")
    is_meta = property(lambda self: self._s.m.placeholder is not None, doc="Whether there are no values.")
    device = property(lambda self: self._s.m.device, doc="Where the tensor is kept.")
    layout = property(lambda self: dtypes.strided, doc="torch.strided.")
    itemsize = property(lambda self: self._s.m.dtype.itemsize, doc="Bytes of one element.")
    nbytes = property(lambda self: self._s.m.nbytes, doc="Bytes of all elements.")
    is_cuda = is_sparse = is_quantized = is_mps = is_nested = is_mkldnn = False
    is_sparse_csr = is_xpu = is_xla = is_ipu = is_vulkan = is_maia = is_mtia = False
    is_cpu = property(lambda self: self._s.m.placeholder is None, doc="Whether this is the CPU.")
    names = property(lambda self: (None,) * self.ndim, doc="None for each dimension.")

    def size(self, dim=None):
        """The shape, or the size of dimension `dim`."""
        shape = self._s.m.shape
        if dim is None:
            return shape
        try:
            return tuple.__getitem__(shape, dim)
        except IndexError:
            n = len(shape) or 1
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], "
                f"but got {dim})"
            ) from None

    def dim(self) -> int:
        """Number of dimensions."""
        return self._s.m.ndim

    ndimension = dim

    def numel(self) -> int:
        """Number of elements."""
        return self._s.m.numel

    nelement = numel

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._s.m.dtype.itemsize

    def stride(self, dim=None):
        """Steps between neighbours in each dimension, in elements (or in dimension `dim`)."""
        strides = self._s.m.strides
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """Where the first element lies in the storage, in elements."""
        return self._s.m.offset + self._offset

    def is_contiguous(self, memory_format=dtypes.contiguous_format) -> bool:
        """Whether the elements lie in memory in the order of `memory_format`."""
        from .layouts import is_in_format

        return is_in_format(self._s.m, memory_format)

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point type."""
        return self._s.m.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return self._s.m.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self._s.m.dtype.is_signed

    def is_inference(self) -> bool:
        """Whether the tensor was made in inference mode (or is a view of one that was)."""
        return trie.in_inference(self._s)

    def is_pinned(self, device=None) -> bool:
        """Whether the memory is page-locked; never on the CPU."""
        return False

    def pin_memory(self, device=None):
        """The tensor itself: without a GPU there is nothing to pin for."""
        return self

    def is_shared(self) -> bool:
        """Whether the memory is shared between processes."""
        return False

    def is_neg(self) -> bool:
        """Whether the negative bit is set; never."""
        return False

    is_conj = is_neg

    def resolve_conj(self):
        """The tensor itself: conjugation is never lazy here."""
        return self

    resolve_neg = resolve_conj

    def get_device(self) -> int:
        """-1, the index of the CPU."""
        return -1

    def __len__(self) -> int:
        shape = self._s.m.shape
        if not shape:
            raise TypeError("len() of a 0-d tensor")
        return shape[0]

    # ------------------------------------------------------------ history

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        self._refresh()
        return self._s.rg

    def _refresh(self) -> None:
        """A view whose base was rewritten gets its new history."""
        if self._base is not None and self._generation != self._storage.generation:
            from .write import regenerate

            regenerate(RECORDER.tr, self)

    @requires_grad.setter
    def requires_grad(self, value: bool):
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True):
        """Start or stop collecting gradients for this leaf tensor; returns it.

        Raises RuntimeError for non-leaves when False, and for dtypes without gradients.
        """
        from .write import set_leaf

        if self._s.rg is bool(requires_grad):
            return self
        if requires_grad and self.is_inference() and not RECORDER.tr.inference:
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not "
                "allowed: clone() it."
            )
        if requires_grad and self._s.m.dtype.category < dtypes.FLOAT:
            raise RuntimeError(
                "only Tensors of floating point and complex dtype can require gradients, but this "
                f"one has dtype {self.dtype}"
            )
        if not requires_grad and not self.is_leaf:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        return set_leaf(self, bool(requires_grad))

    @property
    def is_leaf(self) -> bool:
        """Whether no operation that is differentiated made this tensor."""
        self._refresh()
        if not self._s.rg:
            return True
        op = self._s.op
        return op is VARIABLE or ((op is LEAF or op is trie.IDLE) and self._history is None)

    @property
    def grad(self):
        """The gradient that backward() accumulated, or None."""
        return self._grad

    @grad.setter
    def grad(self, value):
        if value is None:
            self._grad = None
            return
        if not isinstance(value, Tensor):
            raise TypeError(
                f"assigned grad expected to be a Tensor or None but got grad of type "
                f"{type(value).__name__}"
            )
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        if value.shape != self.shape:
            raise RuntimeError(
                f"assigned grad has data of a different size: {list(value.shape)} for a tensor of "
                f"shape {list(self.shape)}"
            )
        if value.device != self.device:
            raise RuntimeError(
                f"attempting to assign a gradient with device type '{value.device.type}' to a tensor with device "
                f"type '{self.device.type}'. Please ensure that the gradient and the tensor are on the same device"
            )
        if value.dtype is not self.dtype:
            raise RuntimeError(
                f"assigned grad has data of a different type: {value.dtype} for a tensor of "
                f"{self.dtype}"
            )
        self._grad = value

    @grad.deleter
    def grad(self):
        self._grad = None

    @property
    def grad_fn(self):
        """The operation that made this tensor, as a node of the autograd graph, or None."""
        from . import graph

        return graph.grad_fn(self)

    @property
    def output_nr(self) -> int:
        """Which of its operation's outputs this tensor is."""
        from . import graph

        return graph.output_number(self)

    @property
    def _version(self) -> int:
        storage = self._storage
        return 0 if storage is None else storage.version

    def _is_view(self) -> bool:
        return self._base is not None

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Accumulate the gradient of this tensor into the `grad` of the leaves it depends on.

        gradient: cotangent of this tensor's shape; may be left out for one element.
        inputs: accumulate into these tensors only. Raises RuntimeError when there is nothing to
        differentiate, when the graph was freed, or when a saved value was overwritten.
        """
        if HOOKED[0]:
            found = overrides.find((self,), None)
            if found is not None:
                kwargs = {"gradient": gradient, "retain_graph": retain_graph,
                          "create_graph": create_graph, "inputs": inputs}
                return overrides.call(Tensor.backward, found, (self,), kwargs)
        from .engine import backward

        backward((self,), (gradient,), retain_graph, create_graph, inputs)

    def register_hook(self, hook):
        """Call `hook(grad)` when the gradient of this tensor is known; it may return another."""
        from .graph import add_hook

        return add_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook):
        """Call `hook(tensor)` after a gradient was accumulated into this leaf."""
        from .graph import add_post_hook

        return add_post_hook(self, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf tensor in `grad` after backward()."""
        from .graph import retain_grad

        retain_grad(self)

    @property
    def retains_grad(self) -> bool:
        """Whether retain_grad() was called on this non-leaf tensor."""
        return self._retains

    def detach(self):
        """The same memory without history; writes to either are seen by both."""
        from .write import alias

        if HOOKED[0]:
            found = overrides.find((self,), None)
            if found is not None:
                return overrides.call(Tensor.detach, found, (self,), {})
        return alias(self)

    def detach_(self):
        """Cut this tensor's own history; returns it."""
        if self._base is not None:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using "
                "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as "
                "True, gradients are views of DDP buckets, and hence detach_() cannot be called on "
                "these gradients."
            )
        if self._s.rg:
            settle(self)
            self._s = idle(self._s.m, False)
            self._history = None
        return self

    @property
    def data(self):
        """The same memory without history; writes through it are not noticed by autograd."""
        from .write import alias

        made = alias(self)
        made._silent = True
        if self.__class__ is not Tensor and HOOKED[0] and overrides.find((self,), None):
            return overrides.converted(made, type(self))
        return made

    @data.setter
    def data(self, value):
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if value.device != self.device:
            raise RuntimeError(
                "Attempted to call `variable.set_data(tensor)`, but `variable` and `tensor` have incompatible tensor "
                f"type: they are on {self.device} and {value.device}."
            )
        segments.flush()
        settle(self)
        settle(value)
        rg = self._s.rg
        self._buf = value._buf
        self._storage = value.storage_identity()
        self._base = None
        self._s = idle(value._s.m, rg)
        self._tr = None

    def storage_identity(self) -> Storage:
        """The identity of this tensor's memory, made when it is first needed."""
        storage = self._storage
        if storage is None:
            storage = self._storage = Storage()
            if self._tr is not None:
                storage.recorder, storage.segment = self._tr, self._tr.serial
                storage.node = self._s.root
        return storage

    def check_writable(self, operation: str, overlaps: bool = False) -> None:
        """RuntimeError if autograd, or memory that overlaps itself unless that is allowed, forbids
        writing into this tensor."""
        s = self._s
        tr = RECORDER.tr
        if not tr.inference and trie.in_inference(s):
            raise RuntimeError(
                f"Inplace update to inference tensor outside InferenceMode is not allowed ({operation} "
                f"on shape {list(self.shape)}): clone() it to get a normal tensor."
            )
        if tr.grad_on:
            if s.rg and self.is_leaf:
                raise RuntimeError(
                    f"a leaf Variable that requires grad is being used in an in-place operation "
                    f"({operation} on shape {list(self.shape)}); use torch.no_grad() or .data"
                )
            base = self._base
            if base is not None and base._s.rg and base.is_leaf:
                raise RuntimeError(
                    f"a view of a leaf Variable that requires grad is being used in an in-place "
                    f"operation ({operation} on shape {list(self.shape)})"
                )
        if s.m.overlaps and not overlaps:
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to a "
                "single memory location. Please clone() the tensor before performing the operation."
            )

    def copy_(self, src, non_blocking: bool = False):
        """Overwrite this tensor with `src`, broadcast and cast to it; returns it."""
        from .write import write

        if src is self:
            self.check_writable("copy_", True)
            return self

        if not isinstance(src, Tensor):
            src = wrap(np.asarray(src, self._s.m.dtype.np))
        elif src._s.m.dtype.is_complex and self._s.m.dtype is dtypes.bool_:
            src = src != 0  # (a cast would drop the imaginary part)
        return write(self, src)

    def set_(self, source):
        """Make this tensor share the memory, shape and strides of `source`."""
        self.data = source
        return self

    # ------------------------------------------------------------ values

    def item(self):
        """The value of a one-element tensor as a Python number."""
        m = self._s.m
        if m.numel != 1:
            raise RuntimeError(
                f"a Tensor with {m.numel} elements cannot be converted to Scalar"
            )
        if self._tr is not None or self._storage is not None:
            settle(self)
        buf = self._buf
        if buf is None:
            buf = array(self)
        if buf.dtype.kind == "V":  # of ml_dtypes
            return float(array(self).reshape(-1)[0])
        return buf.item()

    def tolist(self):
        """The values as nested lists of Python numbers."""
        a = array(self)
        return (a.astype(np.float32) if a.dtype.kind == "V" else a).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array that shares this tensor's memory.

        Raises RuntimeError if the tensor requires grad (unless `force`), TypeError for bfloat16
        and the 8-bit floats.
        """
        if self._s.m.placeholder is not None:
            if force:
                raise NotImplementedError(NO_DATA)
            raise TypeError(
                "can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
                "first."
            )
        if self._s.rg:
            if not force:
                raise RuntimeError(
                    "Can't call numpy() on Tensor that requires grad. "
                    "Use tensor.detach().numpy() instead."
                )
            return self.detach().numpy()
        if self.dtype is dtypes.bfloat16 or self.dtype in dtypes.FLOAT8:
            raise TypeError(f"Got unsupported ScalarType {dtypes.type_name(self.dtype)}")
        return expose(self)

    def __array__(self, dtype=None, copy=None):
        a = self.numpy()
        if dtype is None:
            return a.copy() if copy else a
        return a.astype(dtype, copy=bool(copy))

    def __array_wrap__(self, array, context=None, return_scalar=False):
        # the result of a NumPy function on tensors; bools as PyTorch gives them
        return wrap_shared(array.astype(np.uint8) if array.dtype == bool else array)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if self._s.m.placeholder is not None:
            raise BufferError("Cannot pack tensors on meta")
        if self._s.rg:
            raise BufferError(
                "Can't export tensors that require gradient, use tensor.detach()"
            )
        if max_version is None:  # (NumPy before 2.1 has no other form)
            return expose(self).__dlpack__()
        return expose(self).__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self):
        return (1, 0)

    @property
    def __array_interface__(self):
        raise AttributeError("__array_interface__")  # NumPy then uses __array__

    @property
    def __cuda_array_interface__(self):  # (libraries ask for it by hasattr)
        raise AttributeError(
            f"Can't get __cuda_array_interface__ on a tensor of device {self.device}: it is for CUDA tensors only"
        )

    def __bool__(self) -> bool:
        if self._s.m.numel != 1:
            if self._s.m.numel == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError(
                "Boolean value of Tensor with more than one value is ambiguous"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self._only_number("double"))

    def __int__(self) -> int:
        return int(self._only_number("int64_t"))

    def __complex__(self) -> complex:
        return complex(self._only_number())

    def _only_number(self, real: str | None = None):
        if self._s.m.numel != 1:
            raise ValueError(
                "only one element tensors can be converted to Python scalars, not shape "
                f"{list(self.shape)}"
            )
        number = self.item()
        if real and number.__class__ is complex:
            if number.imag:
                raise RuntimeError(f"value cannot be converted to type {real} without overflow")
            number = number.real
        return number

    def __index__(self) -> int:
        if self._s.m.numel != 1 or self._s.m.dtype.category > 1:
            raise TypeError(
                "only integer tensors of a single element can be converted to an index"
            )
        return int(self.item())

    def __contains__(self, element) -> bool:
        if isinstance(element, (Tensor, int, float, complex, bool)):
            return bool((element == self).any().item())
        raise RuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{type(element)}."
        )

    def __iter__(self):
        if self._s.m.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __delitem__(self, index):
        raise TypeError("Tensor does not support deleting items")

    def __hash__(self) -> int:
        return id(self)

    def __reversed__(self):
        return self.flip(0) if self.ndim else self

    def data_ptr(self) -> int:
        """Address of the first element; 0 where there is none."""
        if self._s.m.placeholder is not None:
            return 0
        return array(self).__array_interface__["data"][0]

    def untyped_storage(self):
        """The memory behind this tensor, as bytes."""
        from .storage import UntypedStorage

        return UntypedStorage(self)

    def storage(self):
        """The memory behind this tensor, as elements."""
        from .storage import TypedStorage

        return TypedStorage(self)

    def share_memory_(self):
        """Accepted; tensors reach worker processes through shared memory anyway."""
        return self

    def resize_(self, *size, memory_format=dtypes.contiguous_format):
        """Give this tensor another shape; keeps the memory if it is large enough."""
        from .layouts import resized

        return resized(self, size)

    def __repr__(self, *, tensor_contents=None) -> str:
        from ..printing import tensor_str

        return tensor_str(self)

    def __format__(self, spec: str) -> str:
        m = self._s.m
        return format(self.item(), spec) if m.ndim == 0 and m.placeholder is None else object.__format__(self, spec)

    # ------------------------------------------------------------ copies and pickling

    def __copy__(self):
        made = as_subclass(self, type(self), self._s.rg)
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo):
        from .construct import deep_copy

        return deep_copy(self, memo)

    def __reduce_ex__(self, protocol):
        from .construct import reduce_tensor

        return reduce_tensor(self)

    def __dir__(self):
        return sorted(set(dir(type(self))) | set(self.__dict__))

    def as_subclass(self, cls):
        """The same memory and history as a tensor of class `cls`."""
        with overrides.DisableTorchFunction():
            return overrides.converted(self.view(self.shape), cls)

    @staticmethod
    def _make_subclass(cls, data, require_grad: bool = False):
        """The same memory without history as a tensor of class `cls`."""
        return as_subclass(data.detach(), cls, require_grad)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return overrides.default(cls, func, types, args, kwargs or {})


class _ParameterMeta(type(Tensor)):
    def __instancecheck__(cls, instance):
        return type.__instancecheck__(cls, instance) or (
            cls is Parameter
            and isinstance(instance, Tensor)
            and bool(instance.__dict__.get("_is_param", False))
        )


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that a Module registers as its parameter when assigned as an attribute.

    data: the initial values (its memory is shared). requires_grad: default True.

    >>> net = nn.Module()
    >>> net.scale = nn.Parameter(torch.ones(2))
    >>> list(net.parameters())
    [Parameter containing:
    tensor([1., 1.], requires_grad=True)]
    """

    __slots__ = ()
    __torch_function__ = staticmethod(overrides.disabled)

    def __new__(cls, data=None, requires_grad: bool = True):
        if data is None:
            data = wrap(np.empty(0, dtypes.get_default_dtype().np))
        if data.__class__ in overrides.OTHERS:
            return data._parameter(requires_grad)
        return as_subclass(data.detach(), cls, requires_grad)

    def __init__(self, data=None, requires_grad: bool = True):
        pass

    def __repr__(self) -> str:
        return "Parameter containing:\n" + Tensor.__repr__(self)

    def __deepcopy__(self, memo):
        from .construct import deep_copy

        return deep_copy(self, memo)


def as_subclass(t, cls, requires_grad: bool = False):
    """`t`'s memory as a new tensor of class `cls`."""
    settle(t)
    made = new(cls)
    made._s, made._tr, made._buf = idle(t._s.m, requires_grad), None, t._buf
    made._storage, made._offset = t.storage_identity(), t._offset
    if requires_grad and t._s.m.dtype.category < dtypes.FLOAT:
        raise RuntimeError(
            "Only Tensors of floating point and complex dtype can require gradients"
        )
    return made


def meta_of_array(a: np.ndarray) -> Meta:
    """The Meta of an array, with its strides; ValueError if PyTorch cannot hold them."""
    d = dtypes.from_numpy_dtype(a.dtype)
    if a.flags.c_contiguous:
        return meta(a.shape, d)
    size = a.itemsize
    for s in a.strides:
        if s < 0:
            raise ValueError(
                "At least one stride in the given numpy array is negative, and tensors with "
                "negative strides are not currently supported. (You can probably work around this "
                "by making a copy of your array  with array.copy().) "
            )
        if s % size:
            raise ValueError(
                "given numpy array strides not a multiple of the element byte size. Copy the numpy "
                "array to reallocate the memory."
            )
    return meta(a.shape, d, tuple(s // size for s in a.strides))


def wrap(a: np.ndarray, requires_grad: bool = False) -> Tensor:
    """A tensor on the memory of array `a`, which nobody else may write to."""
    if a.__class__ is not np.ndarray:
        a = np.asarray(a)
    t = new(Tensor)
    marked = None if RECORDER.tr.inference and not requires_grad else requires_grad
    t._s, t._tr, t._buf = idle(meta_of_array(a), marked), None, a
    return t


def without_values(m: Meta, requires_grad: bool = False) -> Tensor:
    """The tensor on the meta device that has a Meta, whichever device that is on."""
    t = new(Tensor)
    marked = None if RECORDER.tr.inference and not requires_grad else requires_grad
    m = on(at_offset(m, 0), META)
    t._s, t._tr, t._buf = idle(m, marked), None, m.placeholder
    return t


def wrap_shared(a: np.ndarray) -> Tensor:
    """A tensor on the memory of array `a`, which NumPy code goes on seeing (from_numpy)."""
    t = wrap(a)
    t.storage_identity().exposed = True
    return t


def expose(t) -> np.ndarray:
    """The tensor's memory as an array for user code, which may write to it at any time."""
    settle(t)
    if t._tr is not None:
        end_segment(t._tr)
    buf = array(t)
    storage = t.storage_identity()
    tr = storage.recorder
    if tr is not None and storage.segment == tr.serial:  # operations on an alias are still to be run
        end_segment(tr)
    storage.exposed = True
    return buf.view()


def meta_of(t) -> Meta:
    """The tensor's Meta."""
    return t._s.m


segments.Held = Tensor
