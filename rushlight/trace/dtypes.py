"""PyTorch's dtypes, memory formats and type promotion.

A `dtype` wraps the NumPy dtype that stores it. bfloat16 and the 8-bit floats come from ml_dtypes,
which is imported when such an array is first needed. The 8-bit floats are for storage, as in PyTorch:
they are made, cast, copied, indexed and saved, and arithmetic with them is a NotImplementedError.
"""

from __future__ import annotations

import numpy as np

BOOL, INTEGER, FLOAT, COMPLEX = range(4)


class dtype:
    """A tensor's element type, e.g. `torch.float32`. There is one object for each type.

    >>> torch.float16.itemsize, torch.float16.is_floating_point, torch.complex64.to_real()
    (2, True, torch.float32)
    """

    __slots__ = (
        "name",
        "category",
        "itemsize",
        "is_floating_point",
        "is_complex",
        "is_signed",
        "is_half",
        "rank",
        "_np",
    )

    def __init__(self, name: str, category: int, itemsize: int, rank: int, signed: bool = True):
        self.name = name
        self.category = category
        self.itemsize = itemsize
        self.rank = rank
        self.is_floating_point = category == FLOAT
        self.is_complex = category == COMPLEX
        self.is_signed = signed
        self.is_half = name in ("float16", "bfloat16")
        self._np = None if name.startswith(("bfloat", "float8")) else np.dtype(name)

    @property
    def np(self) -> np.dtype:
        """The NumPy dtype of the stored array."""
        if self._np is None:
            import ml_dtypes

            self._np = np.dtype(getattr(ml_dtypes, self.name))
            _FROM_NUMPY[self._np] = self
        return self._np

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return _named, (self.name,)

    def to_real(self) -> dtype:
        """The real dtype of a complex one; others are returned as they are."""
        return _TO_REAL.get(self, self)

    def to_complex(self) -> dtype:
        """The complex dtype that holds this real one."""
        return _TO_COMPLEX.get(self, self)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


def _named(name: str) -> dtype:
    return ALL[name]


bool_ = dtype("bool", BOOL, 1, 0, signed=False)
uint8 = dtype("uint8", INTEGER, 1, 1, signed=False)
int8 = dtype("int8", INTEGER, 1, 1)
int16 = dtype("int16", INTEGER, 2, 2)
int32 = dtype("int32", INTEGER, 4, 3)
int64 = dtype("int64", INTEGER, 8, 4)
uint16 = dtype("uint16", INTEGER, 2, 2, signed=False)
uint32 = dtype("uint32", INTEGER, 4, 3, signed=False)
uint64 = dtype("uint64", INTEGER, 8, 4, signed=False)
float16 = dtype("float16", FLOAT, 2, 0)
bfloat16 = dtype("bfloat16", FLOAT, 2, 0)
float8_e4m3fn = dtype("float8_e4m3fn", FLOAT, 1, 0)
float8_e4m3fnuz = dtype("float8_e4m3fnuz", FLOAT, 1, 0)
float8_e5m2 = dtype("float8_e5m2", FLOAT, 1, 0)
float8_e5m2fnuz = dtype("float8_e5m2fnuz", FLOAT, 1, 0)
float8_e8m0fnu = dtype("float8_e8m0fnu", FLOAT, 1, 0, signed=False)
float32 = dtype("float32", FLOAT, 4, 1)
float64 = dtype("float64", FLOAT, 8, 2)
complex64 = dtype("complex64", COMPLEX, 8, 1)
complex128 = dtype("complex128", COMPLEX, 16, 2)

_NARROW = {uint16, uint32, uint64}  # PyTorch stores these, and promotes them to floats only
FLOAT8 = {float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float8_e8m0fnu}
ALL = {
    d.name: d
    for d in (
        bool_,
        uint8,
        int8,
        int16,
        int32,
        int64,
        uint16,
        uint32,
        uint64,
        float16,
        bfloat16,
        float8_e4m3fn,
        float8_e4m3fnuz,
        float8_e5m2,
        float8_e5m2fnuz,
        float8_e8m0fnu,
        float32,
        float64,
        complex64,
        complex128,
    )
}
ALIASES = {
    "half": float16,
    "float": float32,
    "double": float64,
    "short": int16,
    "int": int32,
    "long": int64,
    "cfloat": complex64,
    "cdouble": complex128,
}
_FROM_NUMPY = {d._np: d for d in ALL.values() if d._np is not None}
_TO_REAL = {complex64: float32, complex128: float64}
_TO_COMPLEX = {
    float16: complex64,
    bfloat16: complex64,
    float32: complex64,
    float64: complex128,
}


def from_numpy_dtype(numpy_dtype) -> dtype:
    """The dtype that stores arrays of `numpy_dtype`; raises TypeError if PyTorch has none."""
    found = _FROM_NUMPY.get(numpy_dtype)
    if found is not None:
        return found
    numpy_dtype = np.dtype(numpy_dtype)
    if numpy_dtype.name.startswith(("bfloat", "float8")) and numpy_dtype.name in ALL:
        ALL[numpy_dtype.name].np  # noqa: B018 - registers itself
    elif not numpy_dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. "
            "Conversion between byte orders is currently not supported."
        )
    found = _FROM_NUMPY.get(numpy_dtype)
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {numpy_dtype.type.__module__}."
            f"{numpy_dtype.type.__name__}. The only supported types are: float64, float32, "
            "float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, "
            "uint8, and bool."
        )
    return found


_default = float32


def get_default_dtype() -> dtype:
    """The dtype of floating-point tensors made from Python numbers; float32 unless changed."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the dtype of floating-point tensors made from Python numbers.

    Raises TypeError if `d` is not a floating-point dtype.
    """
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    if d is not _default:
        from .meta import forget_inference

        _default = d
        forget_inference()


def default_complex() -> dtype:
    """The complex dtype that matches the default float dtype."""
    return _TO_COMPLEX[_default]


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest dtype that holds both (PyTorch's table).

    Integers and floats give the float; float16 with bfloat16 gives float32; uint8 with a signed
    type gives the next larger signed one.
    """
    if a is b:
        return a
    if not isinstance(a, dtype) or not isinstance(b, dtype):
        raise TypeError("promote_types(): arguments must be torch.dtype")
    if a in FLOAT8 or b in FLOAT8:
        raise RuntimeError("Promotion for Float8 Types is not supported, attempted to promote "
                           f"{type_name(a)} and {type_name(b)}")
    if (a in _NARROW or b in _NARROW) and FLOAT not in (a.category, b.category):
        raise RuntimeError("Promotion for uint16, uint32, uint64 types is not supported, attempted "
                           f"to promote {type_name(a)} and {type_name(b)}")
    if a.category != b.category:
        low, high = (a, b) if a.category < b.category else (b, a)
        if high is complex64 and low is float64:
            return complex128
        return high
    if a.category == INTEGER:
        if a.is_signed == b.is_signed:
            return a if a.rank > b.rank else b
        signed = a if a.is_signed else b
        return int16 if signed is int8 else signed
    if a.rank != b.rank:
        return a if a.rank > b.rank else b
    return float32  # float16 and bfloat16


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether PyTorch allows `from_` to be cast to `to` when it writes a result."""
    if from_.category > to.category:
        return False
    if from_.category == INTEGER and to.category == INTEGER:
        return to.is_signed or not from_.is_signed or True
    return not (from_.category != BOOL and to.category == BOOL)


def fit(number, to: dtype):
    """A Python number as an element of a dtype that is filled with it, in PyTorch's rules.

    Negative integers wrap around in unsigned dtypes. RuntimeError for what does not fit.
    """
    if number.__class__ is int and not -(1 << 63) <= number < 1 << 64:
        raise OverflowError("int too big to convert")
    if to is bool_:
        return bool(number)
    if number.__class__ is complex and not to.is_complex:
        if number.imag:
            raise _unfit(to)
        number = number.real
    if to.category == INTEGER:
        limits = np.iinfo(to.np)
        if number.__class__ is float:
            if not limits.min <= number <= limits.max:  # (nor NaN)
                raise _unfit(to)
            return int(number)
        if not (limits.min or -limits.max) <= number <= limits.max:
            raise _unfit(to)
        return int(number) % (limits.max + 1) if not limits.min else int(number)
    if to in LARGEST and number.__class__ is not complex and LARGEST[to] < abs(number) < float("inf"):
        raise _unfit(to)
    return number


def _unfit(to: dtype) -> RuntimeError:
    return RuntimeError(f"value cannot be converted to type {to.name} without overflow")


LARGEST = {float16: 65504.0, bfloat16: 2.0**128 - 2.0**120, float32: 2.0**128 - 2.0**104}


class memory_format:
    """How a tensor's dimensions are ordered in memory.

    >>> x = torch.zeros(1, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    >>> x.stride(), x.is_contiguous(), x.is_contiguous(memory_format=torch.channels_last)
    ((60, 1, 15, 3), False, True)
    """

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return _format_named, (self.name,)


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")


def _format_named(name: str) -> memory_format:
    return globals()[name]


class layout:
    """How a tensor's elements are stored: strided, or the sparse layouts COO, CSR and CSC.

    Those of sparse tensors in blocks, BSR and BSC, can only be named.

    >>> torch.zeros(2).layout
    torch.strided
    """

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return self.name


strided = layout("strided")
sparse_coo, sparse_csr, sparse_csc, sparse_bsr, sparse_bsc = (
    layout(f"sparse_{name}") for name in ("coo", "csr", "csc", "bsr", "bsc")
)


class finfo:
    """Limits of a floating-point dtype: bits, eps, max, min, tiny, smallest_normal, resolution.

    type: a floating-point dtype, by default the default one. Raises TypeError for others.

    >>> torch.finfo(torch.float16).max, torch.finfo(torch.float32).bits
    (65504.0, 32)
    """

    def __init__(self, type: dtype | None = None):
        type = type or _default
        if type.category < FLOAT:
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                f"'{type.name}'"
            )
        self.type = type
        real = type.to_real()
        if real is bfloat16 or real in FLOAT8:
            import ml_dtypes

            info = ml_dtypes.finfo(real.np)
        else:
            info = np.finfo(real.np)
        self.bits = real.itemsize * 8
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = 1.0 if real in FLOAT8 else float(info.resolution)
        self.dtype = real.name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype: bits, max, min. Raises TypeError for other dtypes.

    >>> torch.iinfo(torch.int8).min, torch.iinfo(torch.int64).max
    (-128, 9223372036854775807)
    """

    def __init__(self, type: dtype):
        if type.category != INTEGER:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                f"'{type.name}'"
            )
        info = np.iinfo(type.np)
        self.type, self.dtype = type, type.name
        self.bits, self.max, self.min = info.bits, int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


_TYPE_NAMES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}


def type_name(d: dtype) -> str:
    """A dtype as PyTorch's messages write it."""
    return _TYPE_NAMES.get(d.name, d.name.replace("float8", "Float8"))
