"""Single operators on odd inputs, in PyTorch and in Rushlight: values, dtypes, shapes, exceptions.

    python benchmarks/fuzz.py --minutes 10 --seed 0        (needs PyTorch; some hundred cases a second)
    python benchmarks/fuzz.py --cases 1 --seed 4711        (one case again)

A case is an expression over tensors of any dtype, empty, 0-dim, broadcast, expanded, transposed, sliced or
overlapping, with infinities, NaNs and the extremes of integers (`random_programs.py` draws whole programs on tame
ones). What differs is shrunk, to fewer and plainer inputs, and printed as lines to paste. Rushlight may compute what
PyTorch does not implement for a dtype. Exit status 1: something differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import mmap
import os
import random
import struct
import sys
import tempfile
import time
import traceback
import warnings
from typing import Any

import fuzz_database as database
import numpy as np

FLOATS = ("float32", "float64", "bfloat16", "float16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool", "complex64", "complex128")
RTOL = {"float64": 1e-9, "complex128": 1e-9, "float32": 2e-4, "complex64": 1e-3, "bfloat16": 0.04, "float16": 8e-3}

# {x}: a tensor, {f}: a floating one, {i}: an integer one, {b}: a mask, {n}: a number, {d}: a dim. Elementwise
# ones take all values; in the others sums of extremes would depend on the order.
ELEMENTWISE = """
    {x} + {x} | {x} - {x} | {x} * {x} | {x} / {x} | {x} + {n} | {x} - {n} | {n} - {x} | {x} * {n} | {x} / {n} | {n} / {x}
    {x} > {x} | {x} >= {n} | {x} == {x} | {x} != {n} | {x} <= {x} | {x} & {x} | {x} | {i} ^ {i}
    T.maximum({x}, {x}) | T.minimum({x}, {x}) | T.fmax({x}, {x}) | T.fmin({x}, {x}) | T.where({b}, {x}, {x})
    T.where({b}, {x}, {n}) | {x}.masked_fill({b}, {n}) | {x}.abs() | -{x} | {x}.sign() | {x}.sgn() | {x}.square() | {x}.neg()
    {f}.floor() | {x}.ceil() | {x}.trunc() | {x}.round() | {f}.frac() | {f}.sqrt() | {f}.rsqrt() | {f}.reciprocal()
    {f}.exp() | {f}.expm1() | {f}.log1p() | {f}.tanh() | {f}.sigmoid() | {f}.erf() | {f}.relu() | {x}.isnan() | {x}.isinf()
    {x}.isfinite() | {f}.isposinf() | {x}.signbit() | {x}.logical_not() | {x}.logical_and({x}) | {x}.logical_xor({x})
    {x}.clamp({n}, {n}) | {x}.clamp(min={x}) | {f}.nan_to_num() | F.relu6({f}) | F.softplus({f}) | F.elu({f}) | F.silu({f})
    F.leaky_relu({f}) | F.hardtanh({f}) | F.hardswish({f}) | F.logsigmoid({f}) | F.softsign({f}) | F.mish({f}) | F.selu({f})
    T.copysign({f}, {f}) | T.nextafter({f}, {f}) | T.heaviside({f}, {f}) | T.lerp({f}, {f}, 0.3) | T.hypot({f}, {f})
    T.atan2({f}, {f}) | T.logaddexp({f}, {f}) | T.xlogy({f}, {f}) | T.special.entr({f}) | T.frexp({f}) | T.ldexp({f}, {i})
    ~{i} | ~{b} | {i}.bitwise_and({n}) | T.gcd({i}, {i}) | {x} // {x} | {x} % {x} | {x} // {n} | {x} % {n}
    T.fmod({x}, {x}) | T.div({x}, {x}, rounding_mode='trunc') | T.div({x}, {n}, rounding_mode='floor') | {x} ** 2
    T.isclose({f}, {f}) | T.isclose({f}, {f}, equal_nan=True) | {x}.to({t}) | T.equal({x}, {x}) | F.hardshrink({f}) | F.softshrink({f})
    {x}.sin() | {x}.atan() | {x}.real | {x}.conj() | T.special.xlog1py({f}, {f}) | T.logit({f}) | {f}.asinh() | {x}.cosh()
    T.threshold({x}, 1, 2) | T.rsub({x}, {x}) | T.float_power({x}, 2)"""
OTHERS = """
    T.addcmul({x}, {x}, {x}) | T.addcdiv({f}, {f}, {f}) | T.add({x}, {x}, alpha=2) | {x}.sum() | {x}.sum({d}) | {x}.sum({d}, keepdim=True) | {x}.mean({d}) | {x}.prod({d}) | {x}.amax({d}) | {x}.amin() | {x}.max()
    {x}.max({d})[0] | {x}.min({d}) | {x}.argmax({d}) | {x}.argmin() | {x}.any({d}) | {x}.all() | {f}.var({d}) | {f}.std() | {x}.nansum({d})
    {x}.count_nonzero({d}) | {x}.cumsum({d}) | {x}.cumprod({d}) | {x}.cummax({d}) | {f}.logcumsumexp({d}) | {f}.logsumexp({d})
    {x}.sort({d}, stable=True) | {x}.argsort({d}, stable=True) | {x}.topk(1)[0] | {x}.kthvalue(1, {d})[0] | {f}.median() | {x}.unique() | {f}.nanmean({d})
    {x}.aminmax() | {f}.norm() | {f}.norm(1, {d}) | T.linalg.vector_norm({f}, 3, {d}) | F.softmax({f}, {d}) | F.log_softmax({f}, {d}) | {f}.quantile(0.4)
    {x} @ {x} | T.dot({x}, {x}) | T.outer({x}, {x}) | T.mm({x}, {x}) | T.mv({x}, {x}) | T.einsum('...,...->...', {x}, {x}) | T.kron({x}, {x})
    {x}.reshape(-1) | {x}.flatten() | {x}.T | {x}.mT | {x}.transpose(0, {d}) | {x}.squeeze({d}) | {x}.unsqueeze({d}) | {x}.flip({d}) | {x}.roll(1, {d})
    T.cat([{x}, {x}], {d}) | T.stack([{x}, {x}], {d}) | {x}.repeat(2, 1) | {x}.tile(2) | {x}.expand(2, -1) | {x}.movedim(0, {d}) | {x}.unfold({d}, 1, 1)
    {x}[0] | {x}[..., -1] | {x}[1:] | {x}[{b}] | {x}[{i}] | {x}[None] | {x}[..., ::2] | {x}.select({d}, 0) | {x}.narrow({d}, 0, 1) | {x}.diagonal()
    {x}.tril() | {x}.triu(1) | {x}.trace() | T.diag({x}) | {x}.nonzero() | {x}.take({i}) | {x}.index_select({d}, {i}) | {x}.gather({d}, {i}) | {x}.masked_select({b})
    {x}.scatter({d}, {i}, {n}) | {x}.index_fill({d}, {i}, {n}) | {x}.chunk(2, {d}) | {x}.split(2, {d}) | {x}.unbind({d}) | {x}.view(-1) | {x}.bincount()
    T.searchsorted({f}, {f}) | T.bucketize({x}, {f}) | {f}.histc(4) | T.diff({x}) | T.cross({x}, {x}) | T.cov({f}) | T.cdist({f}, {f}) | {x}.repeat_interleave(2)
    F.one_hot({i}) | F.pad({x}, (1, 2)) | F.normalize({f}) | F.mse_loss({f}, {f}) | F.l1_loss({f}, {f})
    F.layer_norm({f}, {f}.shape[-1:]) | F.gelu({f}) | F.linear({f}, {f}) | F.embedding({i}, {f}) | T.trapezoid({f}) | T.fft.fft({x}) | T.fft.rfft({f}).abs()
    {x}.add_({x}) | {x}.mul_({n}) | {x}.fill_({n}) | {x}.copy_({x}) | {x}.clamp_(0, 1) | {x}.zero_() | {x}.sub_({x}) | {x}.div_({x}) | {x}.masked_fill_({b}, {n})
    {x}.is_contiguous() | {x}.stride() | T.broadcast_tensors({x}, {x}) | T.result_type({x}, {x}) | T.result_type({x}, {n}) | T.atleast_2d({x}) | {x}.tolist()
    T.full({x}.shape, {n}, dtype={x}.dtype) | T.full_like({x}, {n}) | T.empty_like({x}).shape | T.arange({n}) | T.linspace(0, {n}, 3) | T.meshgrid({x}, {x}, indexing='ij')"""
ELEMENTWISE, OTHERS = ([p for line in t.splitlines() for p in line.strip().split(" | ") if "(" in p or p.count(" ") or p]
                       for t in (ELEMENTWISE, OTHERS))
ELEMENTWISE.append("{i} | {i}")
ELEMENTWISE = [p for p in ELEMENTWISE if p != "{x}"]
KNOWN = {  # expressions whose outcome in PyTorch depends on vectorization or order, or that it computes oddly
    "T.mv", "T.einsum", "F.embedding",  # refuse in another order, or dtypes that differ
    "T.gcd",  # of the least integer
    "F.gelu",  # NaN at infinity
    "T.trapezoid",  # subtracts half of the ends from the sum: NaN where they are infinite
    "T.bucketize", "T.searchsorted",  # among boundaries that are not sorted, or NaN
    "T.ldexp",  # of integers that no C int holds
    "T.cdist",  # of mixed dtypes
    "{x}.unique",  # of NaNs: in an order of its own for half types
}
NUMBERS = ("0", "1", "-1", "2", "-3", "255", "300", "0.5", "-2.5", "True", "2**40", "1e10", "float('inf')", "float('nan')", "1j")
SHAPES = ((), (), (1,), (3,), (4,), (0,), (2, 3), (2, 3), (3, 1), (1, 3), (3, 3), (0, 3), (2, 0), (2, 1, 3), (4, 2, 3), (1, 1))
VIEWS = {  # of an input: made of a larger tensor of the given shape
    "": (lambda s: s, ""),
    "transposed": (lambda s: s[::-1], ".permute(*range(%d)[::-1])"),
    "every second": (lambda s: (*s[:-1], 2 * s[-1]), "[..., ::2]"),
    "from the end": (lambda s: (s[0] + 2, *s[1:]), "[2:]"),
    "expanded": (lambda s: (1, *s[1:]), ".expand(%r)"),
    "overlapping": (lambda s: (sum(s) + 1,), ".as_strided(%r, %r)"),
}


STAGE: Any = bytearray(25)  # of the watched process: byte 24 is 1 while PyTorch computes
NAMES = "abcdefghijklmnopqrst"


@dataclasses.dataclass(frozen=True)
class Input:
    """A tensor: shape, dtype, how it is a view, and values ("tame", "odd" with inf and NaN, "extreme")."""

    shape: tuple
    dtype: str
    view: str
    values: str
    seed: int

    def text(self) -> str:
        """An expression over T."""
        shape, view = VIEWS[self.view]
        shape = shape(self.shape)
        if self.view == "transposed":
            view = view % len(shape) if len(shape) else ""
        elif self.view == "expanded":
            view %= (self.shape,)
        elif self.view == "overlapping":
            view %= (self.shape, (1,) * len(self.shape))
        flat = ", ".join(self.numbers(int(np.prod(shape))))
        return f"T.tensor([{flat}], dtype=T.{self.dtype}).reshape({shape}){view}"

    def numbers(self, count: int) -> list[str]:
        """Elements as text."""
        r = random.Random(self.seed)
        odd = []
        if self.dtype == "bool":
            return [r.choice(["True", "False"]) for _ in range(count)]
        if self.dtype in INTEGERS:
            low, high = (0, 6) if self.dtype == "uint8" else (-4, 6)
            info = np.iinfo(self.dtype)
            odd = [str(info.min), str(info.max)] if self.values == "extreme" else []
            tame = [str(r.randint(low, high)) for _ in range(count)]
        elif self.dtype.startswith("complex"):
            return [f"{r.randint(-9, 9) / 4} + {r.randint(-9, 9) / 4}j" for _ in range(count)]
        else:
            tame = [str(r.randint(-24, 24) / 8) for _ in range(count)]
            if self.values != "tame":
                odd = ["float('inf')", "-float('inf')", "float('nan')", "-0.0", "0.0"]
            if self.values == "extreme":
                most = {"float64": "1.7e308", "float32": "3.3e38", "bfloat16": "3.3e38", "float16": "65504.0"}
                odd += [most[self.dtype], "-" + most[self.dtype]]
                if self.dtype == "float64":  # (PyTorch takes other dtypes' denormal numbers for 0)
                    odd.append("1e-310")
        return [r.choice(odd) if odd and r.random() < 0.4 else x for x in tame]

    def plainer(self) -> list[Input]:
        """The same with less about it."""
        return [dataclasses.replace(self, view=""), dataclasses.replace(self, values="tame"),
                dataclasses.replace(self, dtype="float32"), dataclasses.replace(self, seed=0),
                *(dataclasses.replace(self, shape=s, view="") for s in ((), (1,), (3,), (0,)) if len(s) <= len(self.shape))]


def draw_input(r: random.Random, kind: str, values: str, shapes, without=()) -> Input:
    dtype = {"x": r.choice(DTYPES), "f": r.choice(FLOATS), "i": r.choice(INTEGERS), "b": "bool"}[kind]
    if r.random() < 0.4:
        dtype = {"x": "float32", "f": "float32", "i": "int64", "b": "bool"}[kind]
    shape = r.choice(shapes)
    views = [v for v in VIEWS if shape and v not in without or v in ("", "transposed")]
    return Input(shape, dtype, r.choice(["", *views]), values, r.randrange(1 << 30))


@dataclasses.dataclass(frozen=True)
class Case:
    """A pattern with {0}, {1} ... for its inputs; `name` is the operator of PyTorch's database that it calls."""

    pattern: str
    inputs: tuple
    name: str = ""

    def lines(self) -> list[str]:
        made = [f"{n} = {x.text()}" for n, x in zip(NAMES, self.inputs, strict=False)]
        return [*made, "y = " + self.pattern.format(*NAMES[: len(self.inputs)])]

    def run(self, T):
        """(the result, the inputs after it), or the exception."""
        space = {"T": T, "F": T.nn.functional, "inf": float("inf"), "nan": float("nan")}
        if self.name:
            space.update(database.space(T))
        try:
            T.manual_seed(0)
            exec("\n".join(self.lines()), space)
            undefined = self.pattern.startswith("form(")
            return plain(T, [space["y"], *(space[n] for n in NAMES[: len(self.inputs) * (not undefined)])])
        except Exception as e:
            return e

    def differs(self) -> str:
        """How the frameworks differ; "" if they do not."""
        import torch

        import rushlight

        STAGE[24] = 0
        ours = self.run(rushlight)
        STAGE[24] = 1
        theirs = self.run(torch)
        STAGE[24] = 0
        if "complex32" in str(theirs):  # the dtype that float16 beside complex numbers gives: there is none here
            return ""
        empty = any(0 in x.shape for x in self.inputs)
        if empty and any(x in self.pattern for x in ODD_IF_EMPTY):
            return ""
        if "gradgrad(T.cov" in self.pattern:
            return ""  # zero, as the difference of large terms
        if "zeta" in self.pattern and any(x.dtype == "uint8" for x in self.inputs):
            return ""  # powers of negative numbers overflow in PyTorch before larger ones of the other sign are added
        if "grad" in self.pattern and any(x in self.pattern for x in WRAP) and any(x.dtype in INTEGERS for x in self.inputs):
            return ""
        coarsest = max([RTOL.get(x.dtype, 0) for x in self.inputs], default=0)
        if "other dtype" in self.pattern or any(x in self.pattern for x in FLOAT32_INSIDE) or (
                "grad" in self.pattern and any(x.dtype in (*INTEGERS, "bool") for x in self.inputs)):  # (their logarithms, their products with numbers)
            coarsest = max(coarsest, RTOL["float32"])
        if self.name and coarsest > 5e-3 and isinstance(theirs, list):  # sums of numbers of half precision
            theirs_size = [np.abs(x[1][np.isfinite(x[1])]).max(initial=1) for x in arrays(theirs) if x[0] in RTOL]
            return difference(ours, theirs, True, empty, coarsest, max(theirs_size, default=1))
        return difference(ours, theirs, bool(self.name), empty, coarsest)


def draw(seed: int) -> Case | None:
    """A random case: of the expressions for even seeds, of the database for odd ones."""
    return from_database(seed) if seed % 2 else from_expressions(seed)


def from_database(seed: int) -> Case | None:
    row = random.Random(seed // (2 * database.IN_A_ROW))
    at = row.randrange(len(database.operators()))
    dtypes = sorted({str(t).split(".")[-1] for t in database.operators()[at].dtypes} & set(DTYPES))
    drawn = database.draw(random.Random(seed), at, row.choice(dtypes)) if dtypes else None
    return Case(drawn[1], drawn[2], drawn[0]) if drawn else None


def from_expressions(seed: int) -> Case:
    r = random.Random(seed)
    elementwise = r.random() < 0.5
    pattern = r.choice([p for p in (ELEMENTWISE if elementwise else OTHERS) if p.split("(")[0] not in KNOWN])
    values = r.choice(["tame", "odd", "extreme"] if elementwise else ["tame", "tame", "odd"])
    if any(x in pattern for x in ("%", "//", "fmod")):  # (PyTorch's vectors have few digits of the quotients of extremes)
        values = "tame"
    shared = ("expanded", "overlapping") if "_(" in pattern else ()  # written in an order that is undefined
    near = r.choice([SHAPES, [r.choice(SHAPES)], [(), (3,), (1, 3), (2, 3)]])
    inputs: list[Input] = []
    for kind in "xfib":
        while "{" + kind + "}" in pattern:
            pattern = pattern.replace("{" + kind + "}", f"{{{len(inputs)}}}", 1)
            inputs.append(draw_input(r, kind, values, near, shared))
    half = any(x.dtype in ("bfloat16", "float16") for x in inputs)  # (numbers that they do not hold: see `eq`)
    if half and "rounding_mode" in pattern:  # (PyTorch's vectors round the quotient to the half type first)
        inputs = [dataclasses.replace(x, dtype="float32") if x.dtype in ("bfloat16", "float16") else x for x in inputs]
    if half:  # (nor are wide numbers without dims, which PyTorch rounds to the half type first)
        inputs = [dataclasses.replace(x, values="tame") if x.dtype in INTEGERS or not x.shape else x for x in inputs]
    while "{n}" in pattern:
        pattern = pattern.replace("{n}", r.choice([n for n in NUMBERS if not half or n not in ("2**40", "1e10")]), 1)
    while "{d}" in pattern:
        pattern = pattern.replace("{d}", r.choice(["0", "-1", "1", "-2"]), 1)
    return Case(pattern.replace("{t}", "T." + r.choice(DTYPES)), tuple(inputs))


def plain(T, x):
    """Nested lists of (dtype, array), and of other values as they are."""
    if isinstance(x, (list, tuple)) and not isinstance(x, T.Size):
        return [plain(T, e) for e in x]
    if isinstance(x, T.Tensor):
        name = str(x.dtype).split(".")[-1]
        x = x.detach().resolve_conj().resolve_neg()
        return name, (x.double() if name == "bfloat16" else x).numpy().copy()
    return str(x) if isinstance(x, T.dtype) else tuple(x) if isinstance(x, T.Size) else x


# Without elements: PyTorch leaves memory as it was, forgets to compute a shape or a dtype, forgets a row in a gradient, or reads what is not there.
ODD_IF_EMPTY = ("multi_margin_loss", "column_stack", "multilabel_margin_loss", "pixel_", "lu_unpack", "'einsum'", "take_along_dim", "addmv", "instance_norm", "group_norm", "batch_norm", "grad(T.block_diag")
# Constants or steps of these are of float32 in PyTorch, also beside float64.
FLOAT32_INSIDE = ("hardsigmoid", "ldexp", "bessel", "airy", "masked.std", "masked.var")
WRAP = ("atan2",)  # PyTorch computes these gradients in the dtype of integers beside floating numbers, where they wrap
# Said by PyTorch where a dtype, or a pair of them, has no kernel: Rushlight computes most of these.
UNSUPPORTED = ("MKL FFT error", "ComplexHalf", "setStorage", "not implemented", "view size is not compatible", "not supported", "not support", "dtype", "scalar type", "Expected a long tensor",
               "invalid combination of arguments", "Float did not match", "same type", "not differentiable", "ZeroTensor", "can't be cast", "scalar_type", "supports bool tensor", "without overflow", "match the broadcast shape", "Expected out type", "required rank 4", "Unsupported input type", "grad_input must be contiguous", "Expected grad_output to have non-zero size")


# The database's samples are changed so much that several things are wrong at once: which is seen first is no matter,
# as long as it is said in words and does not come from the inside.
REFUSALS = (RuntimeError, IndexError, ValueError, TypeError, AssertionError)  # (NotImplementedError is a RuntimeError)
# (words of Python's and NumPy's own errors)
INTERNAL = ("not compiled", "tuple index", "list index", "recursion", "has no attribute", "NoneType", "0d arrays", "zero-size array", "operands could not", "cannot reshape", "axes", "out-of-bounds")


def said(e: Exception) -> bool:
    """Whether an exception is a refusal in words."""
    return isinstance(e, REFUSALS) and not any(x in str(e) for x in INTERNAL)


def is_array(x) -> bool:
    return isinstance(x, tuple) and len(x) == 2 and isinstance(x[1], np.ndarray)


def arrays(x) -> list:
    """The tensors of an outcome."""
    return [x] if is_array(x) else [e for y in x for e in arrays(y)] if isinstance(x, list) else []


def difference(a, b, sums: bool = False, empty: bool = False, coarsest: float = 0, size: float = 1) -> str:
    """Of Rushlight's outcome `a` and PyTorch's `b`. sums: elements are sums, and compared relative to the largest. empty: an
    input has no elements. coarsest: the tolerance of the coarsest dtype that takes part. size: of numbers that were summed.
    """
    if isinstance(b, Exception) or isinstance(a, Exception):
        if isinstance(b, Exception) and any(x in str(b) for x in UNSUPPORTED):
            return "" if not isinstance(a, Exception) or not sums or said(a) else f"{short(a)}, not {short(b)}"
        if empty and not (isinstance(a, Exception) and isinstance(b, Exception)):
            # PyTorch refuses many empty inputs for which there is an empty result, and looks at no dtype of others
            if not isinstance(a, Exception) or said(a) and any(x in str(a) for x in ("ype", "should contain", "not implemented", "Dimension out of range", "monotonically")):
                return ""
        if isinstance(a, RuntimeError) and "float16 without overflow" in str(a):
            return ""  # numbers that float16 does not hold are refused or infinite: an operator's own way in PyTorch
        if isinstance(a, ValueError) and "monotonically increasing" in str(a):
            return ""  # PyTorch counts between edges in any order
        if isinstance(a, IndexError) and said(a) and empty and isinstance(b, list) and not any(x[1].size for x in arrays(b[:1])):
            return ""  # PyTorch looks at no index where nothing is read or written
        if isinstance(b, RuntimeError) and any(x in str(b) for x in ("INTERNAL ASSERT", "undefined Tensor in C++")):
            return ""  # PyTorch's own mistakes
        if isinstance(a, RuntimeError) and "can't be cast" in str(a) and coarsest and not isinstance(b, Exception):
            return ""  # PyTorch writes some results into any `out`
        same = isinstance(a, Exception) and isinstance(b, Exception) and (
            isinstance(a, type(b)) or type(b).__name__ in [c.__name__ for c in type(a).__mro__]
            or sums and said(a) or said(a) and "not implemented" in str(a))
        return "" if same else f"{short(a)}, not {short(b)}"
    if sums and (a is None or b is None) and (is_array(a) or is_array(b)):  # no gradient, or one of zeros
        x = (a or b)[1]
        return "" if np.allclose(x, 0, atol=1e-4) else f"{short(a)}, not {short(b)}"
    if isinstance(b, list):
        if not isinstance(a, list) or len(a) != len(b):
            return f"{short(a)}, not {short(b)}"
        return next(filter(None, (difference(x, y, sums, empty, coarsest, size) for x, y in zip(a, b, strict=True))), "")
    if isinstance(b, tuple) and len(b) == 2 and isinstance(b[1], np.ndarray):
        if not (isinstance(a, tuple) and len(a) == 2 and isinstance(a[1], np.ndarray)):
            return f"{short(a)}, not {short(b)}"
        if a[0] != b[0] or a[1].shape != b[1].shape:
            return f"{a[0]} {a[1].shape}, not {b[0]} {b[1].shape}"
        r, x, y = max(RTOL[a[0]], coarsest) if a[0] in RTOL else 0, *np.broadcast_arrays(a[1], b[1])
        if a[0].startswith(("complex", "float16")):  # what became infinite between depends on the kernel
            x, y = x[np.isfinite(y)], y[np.isfinite(y)]
        with np.errstate(all="ignore"):
            most = np.abs(y[np.isfinite(y)]).max(initial=size) if sums and a[0] in RTOL else 0
            close = np.allclose(x, y, r, r / 10 + r * most, equal_nan=True)
        return "" if close else f"{short(a)}, not {short(b)}"
    return "" if a == b or (a != a and b != b) else f"{a!r}, not {b!r}"


def short(x) -> str:
    text = f"{type(x).__name__}: {x}" if isinstance(x, Exception) else repr(x)
    return text.split("\n")[0][:200] if isinstance(x, Exception) else " ".join(text.split())[:300]


def shrunk(case: Case) -> Case:
    """A case that still differs, with plainer inputs."""
    again = True
    while again:
        again = False
        for j, x in enumerate(case.inputs):
            for p in x.plainer():
                if p == x or len(p.text()) >= len(x.text()):
                    continue
                new = dataclasses.replace(case, inputs=(*case.inputs[:j], p, *case.inputs[j + 1:]))
                if new.differs():
                    case, x, again = new, p, True
    return case


def search(seeds, seconds: float = float("inf"), show=print, log=None) -> tuple[int, list[Case]]:
    """(the number of cases run, the cases that differ: one of an expression or operator)."""
    found: dict = dict.fromkeys(log.found() if log else ())
    seen: set = set()
    end, count = time.process_time() + seconds, 0
    for seed in seeds:
        if time.process_time() > end:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case = draw(seed)
            if case is None:
                continue
            count += 1
            key = case.name or case.pattern
            if log:
                log.at(seed, key, key not in seen)
                seen.add(key)
            if key in found or not case.differs():
                continue
            if log:
                log.write(f"found {key}")
            found[key] = case
            case = found[key] = shrunk(case)
            show(f"# seed {seed}: {case.differs()}", *case.lines(), "", sep="\n", flush=True)
    return count, [c for c in found.values() if c]


class Log:
    """What a searching process leaves for the one that watches it: PyTorch crashes on some inputs."""

    def __init__(self, folder: str):
        self.path = os.path.join(folder, "log")
        self.shared = mmap.mmap(-1, 32)  # seed, cases, processor time, who computes
        self.begun = self.cases = 0

    def write(self, line: str) -> None:
        with open(self.path, "a") as f:
            f.write(line + "\n")

    def at(self, seed: int, key: str, new: bool) -> None:
        self.cases += 1
        self.shared[:24] = struct.pack("qqd", seed, self.cases, self.begun + time.process_time())
        if new:
            self.write(f"seen {key}")

    def state(self) -> tuple:
        return struct.unpack("qqdq", self.shared)

    def entries(self, kind: str) -> list[str]:
        if not os.path.exists(self.path):
            return []
        with open(self.path) as f:
            return [line.rstrip("\n").partition(" ")[2] for line in f if line.startswith(kind + " ")]

    def found(self) -> list[str]:
        return self.entries("found")


def watch(first: int, seconds: float) -> int:
    """Search in a process of its own, again after a crash; whether something differs."""
    with tempfile.TemporaryDirectory() as folder:
        log = Log(folder)
        crashes: list[int] = []
        while True:
            child = os.fork()
            if child == 0:
                global STAGE
                STAGE = log.shared
                try:
                    search(range(first, 1 << 60), seconds - log.begun, log=log)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            seed, log.cases, log.begun, stage = log.state()
            if status == 0:
                break
            if stage == 1:
                crashes.append(seed)
            else:
                log.write("found crash")
                print(f"# seed {seed}: ended with status {status}", *draw(seed).lines(), "", sep="\n", flush=True)
            first = seed + 1
        keys = set(log.entries("seen"))
        operators = len(keys & {o.formatted_name for o in database.operators()})
        found = set(log.found())
        print(f"{log.cases} cases from seed on, {log.begun / 60:.1f} minutes of processor time: {operators} entries of the database, "
              f"{len(keys) - operators} other expressions; {len(crashes)} crashes of PyTorch {crashes}; {len(found)} differ")
        return bool(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="of processor time")
    parser.add_argument("--cases", type=int, help="so many, instead of minutes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.cases is None:
        return watch(options.seed, options.minutes * 60)
    count, found = search(range(options.seed, options.seed + options.cases))
    print(f"{count} cases, {len(found)} differ")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
