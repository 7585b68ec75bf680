"""Operators, one place each, a file per family; importing this attaches them to Tensor.

A family's file holds, for each operator, its signature, documentation, shape rule, NumPy reference and
gradient (see `trace/operator.py`). What a family shares is in `rules.py`. Read `pointwise.py` first.
"""

from __future__ import annotations

import importlib

from ..trace.dtypes import FLOAT
from ..trace.hot import operator_form
from ..trace.operator import OPERATORS, PUBLISHED
from ..trace.record import OPERANDS
from ..trace.tensor import Tensor

FAMILIES = (
    "pointwise",
    "elementary",
    "complex_numbers",
    "special_functions",
    "gamma_functions",
    "bessel",
    "comparison",
    "reduction",
    "scan",
    "sorting",
    "softmax",
    "view",
    "shape",
    "creation",
    "indexing",
    "scatter",
    "masking",
    "matmul",
    "contraction",
    "activation",
    "random",
)

LAYER_FAMILIES = (
    "dropout",
    "embedding",
    "resampling",
    "grid_sampling",
    "convolution",
    "pooling",
    "max_pooling",
    "normalization",
    "loss",
    "ctc",
    "recurrent",
    "random_gamma",
    "attention",
)

FURTHER_FAMILIES = (
    "triangular",
    "factorization",
    "spectral",
    "solving",
    "matrix_functions",
    "statistics",
    "fourier",
    "probability_functions",
    "cylinder_functions",
    "polynomials",
    "calculus",
    "short_time_fourier",
    "copies",
    "native_forms",
    "layer_forms",
    "sparse",
    "sparse_forms",
    "ldl",
    "further_forms",
    "scaled_products",
)
FURTHER_METHODS = (  # of Tensor, from those
    "_indices _nnz _values "
    "bincount ccol_indices cholesky cholesky_inverse cholesky_solve coalesce col_indices corrcoef cov "
    "crow_indices dense_dim det dim_order "
    "fill_diagonal_ geqrf hash_tensor histc histogram indices inverse is_coalesced is_nonzero is_same_size is_set_to istft "
    "logdet lu lu_solve matrix_exp matrix_power median mode nanmedian nanquantile narrow_copy "
    "orgqr ormqr pinverse qr quantile renorm renorm_ resize_as_ row_indices slogdet smm sparse_dim sspaddmm "
    "sparse_mask stft svd to_dense to_sparse to_sparse_coo to_sparse_csc to_sparse_csr "
    "triangular_solve unsafe_chunk unsafe_split_with_sizes values"
)

for _family in FAMILIES:
    importlib.import_module("." + _family, __name__)


def load_layers() -> None:
    """Load the families that make no methods of Tensor: with nn, or when one of their names is used.

    (So `import rushlight` takes less time; `optimizer` is loaded by the optimisers themselves.)
    """
    for family in LAYER_FAMILIES:
        importlib.import_module("." + family, __name__)


def load_further() -> None:
    """Load the families of linalg, fft and special that few programs use: with these modules, when
    one of their names is used, or a method of Tensor that is theirs.
    """
    for family in FURTHER_FAMILIES:
        importlib.import_module("." + family, __name__)
    for name in FURTHER_METHODS.split():
        setattr(Tensor, name, PUBLISHED["Tensor"][name])


def _method_later(name: str):
    def method(self, *args, **kwargs):
        load_further()
        return getattr(self, name)(*args, **kwargs)

    method.__name__ = name
    return method


def _reflected(name: str):
    """`a op b` where only `b` is a tensor."""
    import numpy as np

    from ..trace.tensor import wrap

    function = PUBLISHED["torch"][name]
    of_number = NUMBER_FIRST.get(name, function)

    def method(self, other):
        if not isinstance(self, Tensor):
            raise TypeError(f"__r{name}__ of a Tensor called with a '{type(self).__name__}' object")
        if isinstance(other, Tensor):
            return function(other, self)
        if isinstance(other, OPERANDS):
            return of_number(other, self)
        if not hasattr(other, "__array__"):
            return NotImplemented
        return function(wrap(np.asarray(other)), self)

    return method


def number_tensor(x, like=None):
    """A 0-dim tensor of a Python number, with the dtype that PyTorch's result type gives it.

    like: the other operand's dtype; beside float64, numbers are not rounded to float32.
    """
    import numpy as np

    from ..trace import dtypes
    from ..trace.tensor import wrap

    if isinstance(x, bool):
        d = dtypes.bool_
    elif isinstance(x, int):
        d = dtypes.int64
    else:
        d = dtypes.default_complex() if isinstance(x, complex) else dtypes.get_default_dtype()
        if like in (dtypes.float64, dtypes.complex128):
            d = dtypes.complex128 if isinstance(x, complex) else dtypes.float64
    return wrap(np.array(x, d.np))


def _in_place(form):
    """`a op= b` by the method `form`; NotImplemented for what is neither tensor nor number."""

    def method(self, other):
        return form(self, other) if isinstance(other, OPERANDS) else NotImplemented

    return method


def _invert(self):
    """`~self` of integers and bools."""
    if self._s.m.dtype.category >= FLOAT:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return PUBLISHED["torch"]["bitwise_not"](self)


def _attach() -> None:
    """Make the published methods, and Python's operators, attributes of Tensor."""
    methods = PUBLISHED["Tensor"]
    for name, fn in methods.items():
        if name not in Tensor.__dict__:
            setattr(Tensor, name, property(fn) if name in PROPERTIES else fn)
    for name in FURTHER_METHODS.split():
        setattr(Tensor, name, _method_later(name))
    torch = PUBLISHED["torch"]
    for name, base in BASE.items():
        OPERATORS[base].public = torch[name]
    for operator, name in BINARY.items():
        fn = operator_form(OPERATORS[BASE.get(operator, name)])
        setattr(Tensor, f"__{operator}__", fn)
        if operator in REFLECTED:
            setattr(Tensor, f"__r{operator}__", fn if operator in COMMUTATIVE else _reflected(name))
        in_place = methods.get(name + "_")
        if in_place is not None and operator not in COMPARISONS:
            setattr(Tensor, f"__i{operator}__", _in_place(in_place))
    for operator, name in UNARY.items():
        setattr(Tensor, f"__{operator}__", torch[name])
    Tensor.__invert__, Tensor.__rdiv__ = _invert, Tensor.__rtruediv__


PROPERTIES = {"T", "mT", "H", "mH", "real", "imag"}
BASE = {"add": "_add", "sub": "_sub"}  # operators whose public function takes more
BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
    "eq": "eq",
    "ne": "ne",
    "lt": "lt",
    "le": "le",
    "gt": "gt",
    "ge": "ge",
}
COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge"}
REFLECTED = set(BINARY) - COMPARISONS
COMMUTATIVE = {"add", "mul", "and", "or", "xor"}
# What a number and a tensor make, where that is not the function: PyTorch rounds a quotient twice.
NUMBER_FIRST = {"true_divide": lambda a, b: b.reciprocal() * a, "matmul": lambda a, b: NotImplemented}
UNARY = {"neg": "neg", "abs": "abs", "pos": "positive"}
_attach()
importlib.import_module(".legacy", __name__)


def __getattr__(name: str):
    """`torch.ops.<namespace>`."""
    if not name.startswith("__"):
        from .namespaces import NAMESPACES, load_library

        if name == "load_library":
            return load_library
        if name in NAMESPACES:
            return NAMESPACES[name]
    raise AttributeError(f"module 'torch.ops' has no attribute '{name}'")
