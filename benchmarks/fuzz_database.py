"""Cases for `fuzz.py` from PyTorch's database of operators (the one that its own tests use).

A case is an operator on one of the database's samples, changed at random: another dtype, odd or extreme values, sizes
of 0 and 1, numbers without dims, memory that is transposed, sliced, expanded or overlapping; called plainly, as a
method, in place, with `out=` (of the right size or not, of another dtype), with its gradients and theirs, or often
enough to become native. The names that stand in a case's text are made by `space`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import random
import types
from typing import Any

SAMPLES = 40  # of an operator and dtype, at most
LARGEST = 1500  # elements of a sample's tensors together, at most
IN_A_ROW = 12  # cases of one operator and dtype: making its samples takes longer than a case
RUNS = 6  # after which a program is native, where everything is worth compiling

# Not drawn. Samples are made for CUDA only, or the operator is no part of the public API.
LEFT_OUT = ("_native_batch_norm_legit", "__rdiv__", "chalf", "_unsafe_masked_index", "jiterator", "torch._scaled_mm", "torch.ops.aten", "_softmax_backward_data", "_batch_norm_with_update")
# What they give is memory as it is found, or differs from call to call: only dtypes and shapes are compared.
UNDEFINED = ("empty", "new_empty", "rand", "bernoulli", "multinomial", "normal", "uniform", "cauchy", "exponential",
             "geometric", "log_normal", "nn.functional.dropout", "nn.functional.alpha_dropout", "nn.functional.feature_alpha_dropout",
             "nn.functional.rrelu", "nn.functional.fractional_max_pool", "svd_lowrank", "pca_lowrank", "resize_")
# Factors that are unique up to signs or the order of equal values only: dtypes and shapes are compared.
NOT_UNIQUE = ("cholesky_ex", "linalg.cholesky_ex", "svd", "linalg.svd", "linalg.eig", "linalg.eigh", "geqrf", "linalg.qr", "qr", "linalg.householder_product", "ormqr")
# Matrices that repeat rows are singular, and rounding decides everything.
MATRICES = ("linalg.", "lu", "cholesky", "ldl", "qr", "eig", "svd", "geqrf", "ormqr", "pinverse", "logdet", "det", "triangular_solve", "as_strided", "tensorsolve", "norm", "std", "var", "histogram", "matrix_exp", "stft")
TIES = ("median", "nanmedian", "kthvalue", "topk", "sort", "argsort", "msort", "mode", "masked.median", "masked.argmax", "masked.argmin")  # which of equal elements is taken is not said
# Not compared on infinities, NaNs and extremes, where PyTorch's kernels differ among themselves (vectors or the rest of a row)
# or lose all digits: near poles, after overflow, of integers that no float holds.
ODD_IN_PYTORCH = ("polynomial", "polygamma", "igamma", "zeta", "gcd", "lcm", "fmod", "remainder", "nextafter", "bessel", "digamma", "mvlgamma", "airy",
                  "addcmul", "addcdiv", "ldexp", "float_power", "pow", "logaddexp", "floor_divide", "div", "multigammaln", "lgamma", "logit", "mod", "polar", "atan2", "special.i1", "prelu", "hardshrink", "softshrink")
ROUGH = ("grid_sample", "matrix_exp", "scaled_dot_product")  # in half types the rounding between decides: of pixels, powers, softmax's differences
CRASH = ("lu_unpack", "_segment_reduce", "segment_reduce", "take_along_dim", "nn.functional.fractional_max_pool", "nn.functional.max_pool", "max_pool2d_with_indices_backward")  # PyTorch reads and writes outside of its memory for shapes that do not fit
PLAIN = (*CRASH, "_chunk_cat", "add", "cov", "nn.functional.rms_norm", "cumulative_trapezoid", "trapezoid", "trapz")  # no tensors without dims: PyTorch changes its inputs, or results' shapes, or crashes
NO_OUT = ("nonzero", "cat", "concat", "concatenate", "narrow_copy", "fft.ihfft", "fft.ihfft2", "fft.ihfftn", "unbind_copy", "nn.functional.avg_pool3d", "nn.functional.linear", "normal", "nn.functional.gelu", "matmul", "lu_unpack", "linalg.lu", "tril", "triu", "native_batch_norm")  # PyTorch ignores it, or its layout, or writes beside it
WRITES = ("nn.functional.embedding", "nn.functional.embedding_bag", "nn.functional.batch_norm", "nn.functional.instance_norm", "native_batch_norm", "_native_batch_norm_legit","cauchy", "exponential", "geometric", "log_normal", "normal", "uniform", "index_add", "index_copy", "index_fill", "index_reduce")
MIXED = ("where", "clamp", "lerp", "addcmul", "addcdiv", "cat", "stack", "isin", "masked_fill")  # take several dtypes
VALUES = {"UnaryUfuncInfo": ("tame", "odd", "extreme"), "BinaryUfuncInfo": ("tame", "odd", "extreme"),
          "ReductionOpInfo": ("tame", "odd"), "ShapeFuncInfo": ("tame", "odd", "extreme")}


@functools.cache
def operators() -> list:
    """The database, less what is left out."""
    from torch.testing._internal.common_methods_invocations import op_db

    return [o for o in op_db if not o.name.startswith(LEFT_OUT)]


@functools.lru_cache(8)
def samples(at: int, dtype: str) -> list:
    """Some samples of an operator: (arguments, keyword arguments)."""
    import torch

    torch.manual_seed(at)
    made = operators()[at].sample_inputs("cpu", getattr(torch, dtype))
    found = []
    try:
        for s in itertools.islice(made, SAMPLES):
            args = (s.input, *s.args)
            if sum(x.numel() for x in tensors(torch, (args, s.kwargs))) <= LARGEST:
                found.append((args, s.kwargs))
    except Exception:  # some samples cannot be made by the PyTorch that is here
        pass
    return found


def tensors(T, x) -> list:
    """The tensors in a tree of tuples, lists and dicts."""
    if isinstance(x, T.Tensor):
        return [x]
    if isinstance(x, dict):
        x = x.values()
    return [t for e in x for t in tensors(T, e)] if isinstance(x, (list, tuple, type({}.values()))) else []


@dataclasses.dataclass(frozen=True)
class Memory:
    """A tensor that is a view of a flat one: `numbers`, as text, are the elements of the flat one."""

    numbers: tuple
    dtype: str
    shape: tuple
    strides: tuple | None = None
    offset: int = 0
    grad: bool = False

    def text(self) -> str:
        """An expression over T."""
        flat = f"T.tensor([{', '.join(self.numbers)}], dtype=T.{self.dtype})"
        end = ".requires_grad_()" if self.grad else ""
        if self.strides is None:
            return f"{flat}.reshape({self.shape}){end}"
        return f"{flat}{end}.as_strided({self.shape}, {self.strides}, {self.offset})"

    def plainer(self) -> list[Memory]:
        """The same with less about it."""
        count = math.prod(self.shape)
        tame = tuple("1.5" if "." in n or "f" in n else n for n in self.numbers)
        return [dataclasses.replace(self, strides=None, offset=0, numbers=(*self.numbers, *["1"] * count)[:count]),
                dataclasses.replace(self, dtype="float32"), dataclasses.replace(self, numbers=tame),
                *(dataclasses.replace(self, shape=s, strides=None, offset=0,
                                      numbers=self.numbers[: math.prod(s)])
                  for s in ((), (0,), (1,), tuple(min(n, 2) for n in self.shape), tuple(min(n, 1) for n in self.shape))
                  if len(s) <= len(self.shape) and math.prod(s) <= len(self.numbers))]


def as_text(x: Any) -> str:
    """A number."""
    if isinstance(x, complex):
        return f"complex({as_text(x.real)}, {as_text(x.imag)})"
    if isinstance(x, float) and not math.isfinite(x):
        return f"float('{x}')"
    return repr(x)


def memory(r: random.Random, x, view: str, numbers: list[str], shape: tuple) -> Memory:
    """A tensor of these elements and this shape; where memory overlaps, with some of them."""
    dtype = str(x.dtype).split(".")[-1]
    if view == "" or not shape or 0 in shape:
        return Memory(tuple(numbers), dtype, shape)
    strides, step = [0] * len(shape), 2 if view == "every second" else 1
    order = range(len(shape)) if view == "transposed" else range(len(shape))[::-1]
    for d in order:
        strides[d] = step
        step *= shape[d]
    offset = 2 if view == "from the end" else 0
    if view == "expanded":
        d = r.randrange(len(shape))
        strides = [0 if k == d else s // shape[d] if s > strides[d] else s for k, s in enumerate(strides)]
    if view == "overlapping":
        strides = [1] * len(shape)
    size = offset + 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    flat = [r.choice(numbers) for _ in range(size)]
    places = itertools.product(*(range(n) for n in shape))
    for place, number in zip(places, numbers, strict=True):
        flat[offset + sum(i * s for i, s in zip(place, strides, strict=True))] = number
    return Memory(tuple(flat), dtype, shape, tuple(strides), offset)


def odd_numbers(dtype: str, values: str) -> list[str]:
    """Elements that programs seldom have."""
    import torch

    if dtype == "bool" or values == "tame":
        return []
    t = getattr(torch, dtype)
    if not (t.is_floating_point or t.is_complex):
        return [str(torch.iinfo(t).min), str(torch.iinfo(t).max)] if values == "extreme" else []
    odd = ["float('inf')", "-float('inf')", "float('nan')", "-0.0", "0.0"]
    if values == "extreme":
        odd += [str(torch.finfo(t).max), str(torch.finfo(t).min)]
    return odd


class Drawn:
    """What is changed in a sample, for all of its tensors."""

    def __init__(self, r: random.Random, values: str, without: tuple, elementwise: bool, name: str):
        self.r, self.values, self.without = r, values, without
        self.size = not name.startswith(CRASH) and r.random() < 0.15  # one of the sizes becomes 0 or 1
        self.sizes: dict[int, int] = {}
        self.dtype = elementwise and r.random() < 0.2  # a tensor takes another dtype
        self.number = r.random() < (0.2 if elementwise else 0.05 * (not name.startswith(PLAIN)))  # a tensor becomes a number without dims
        self.views = r.random() < 0.6
        self.inputs: list[Memory] = []

    def tensor(self, x) -> str:
        """A placeholder for a tensor of the sample."""
        import torch

        r = self.r
        x = x.detach().resolve_conj().resolve_neg()
        shape = tuple(x.shape)
        if self.size and shape:
            if not self.sizes:
                self.sizes[r.choice(shape)] = r.choice([0, 0, 1] if "overlapping" not in self.without else [0])
            shape = tuple(self.sizes.get(n, n) for n in shape)
        if self.number and r.random() < 0.5:
            shape = ()
        if self.dtype and r.random() < 0.5:
            x = x.to(r.choice([torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool, torch.bfloat16,
                               torch.complex64, torch.float16, torch.int8]))
        numbers = [as_text(v) for v in x.reshape(-1).tolist()[: math.prod(shape)]]
        numbers += ["1"] * (math.prod(shape) - len(numbers))
        odd = odd_numbers(str(x.dtype).split(".")[-1], self.values)
        if odd:
            numbers = [r.choice(odd) if r.random() < 0.3 else n for n in numbers]
        views = [v for v in ("transposed", "every second", "from the end", "expanded", "overlapping") if v not in self.without]
        view = r.choice(views) if views and self.views and r.random() < 0.7 else ""
        self.inputs.append(memory(r, x, view, numbers, shape))
        return f"{{{len(self.inputs) - 1}}}"

    def text(self, x) -> str:
        """An argument of a sample as text."""
        import torch

        if isinstance(x, torch.Tensor):
            if x.layout is not torch.strided:
                raise TypeError("a sparse sample")
            return self.tensor(x)
        if isinstance(x, torch.Size):
            return str(tuple(x))
        if isinstance(x, (list, tuple)):
            inner = ", ".join(self.text(e) for e in x)
            return f"[{inner}]" if isinstance(x, list) else f"({inner}{',' if len(x) == 1 else ''})"
        if isinstance(x, (torch.dtype, torch.memory_format, torch.layout)):
            return "T." + str(x).split(".")[-1]
        if isinstance(x, torch.device):
            return repr(str(x))
        if x is None or x is Ellipsis or isinstance(x, (bool, int, float, complex, str, slice)):
            return {Ellipsis: "..."}.get(x, as_text(x)) if not isinstance(x, slice) else repr(x)
        raise TypeError(f"a sample with a {type(x).__name__}")


def called(at: int) -> str:
    """The function of an operator, as text over T."""
    import torch

    o = operators()[at]
    f: Any = torch
    for part in o.name.split("."):
        f = getattr(f, part, None)
    return f"T.{o.name}" if f is o.op else f"op({o.name!r}, {o.variant_test_name!r})"


def draw(r: random.Random, at: int, dtype: str):
    """(the operator's name, its pattern, the inputs), or None if nothing can be drawn."""
    o, made = operators()[at], samples(at, dtype)
    if any(x in o.name for x in ROUGH) and dtype in ("bfloat16", "float16"):
        return None
    if not made:
        return None
    kind = type(o).__name__
    values = "tame" if any(x in o.name for x in ODD_IN_PYTORCH) else r.choice(VALUES.get(kind, ("tame",)))
    forms = ["plain", "plain", "native"]
    method, inplace = name_of(o.get_method()), name_of(o.get_inplace())
    if method:
        forms.append("method")
    if inplace:
        forms.append("inplace")
    if o.supports_out and o.name not in NO_OUT:
        forms.append("out")
    if o.supports_autograd and values == "tame" and dtype in ("float32", "float64", "complex64", "complex128"):
        forms += ["grad", "grad"] if "pow" in o.name or o.name in ("logcumsumexp", "cdist", "matrix_exp") else ["grad", "gradgrad"]
        # (powers of 0 twice; differences of large numbers in float32 twice)
    if o.name == "logcumsumexp" and dtype not in ("float64", "complex128"):  # (samples of 10,000: float32 leaves three digits)
        forms = [f for f in forms if "grad" not in f]
    if o.name in TIES:
        forms = ["plain", "native"]
    if o.name in ("masked.logaddexp", "ldexp") or o.name == "abs" and "complex" in dtype:
        # (the second derivatives of -inf; 2 to the power of 255 in float32; nothing but rounding, divided by the size)
        forms = [f for f in forms if f != "gradgrad"]
    if o.name == "addbmm" and "inplace" in forms:  # (PyTorch's gives a number another shape)
        forms.remove("inplace")
    if o.name in ("as_strided_scatter", "nanmean", "ldexp"):  # (PyTorch's gradient passes what was overwritten; is NaN where nothing is left; is zero for bytes)
        forms = [f for f in forms if "grad" not in f]
    form = r.choice(forms)
    args, kwargs = r.choice(made)
    if dtype in ("bfloat16", "float16") and "rounding_mode" in kwargs:  # (PyTorch's vectors round the quotient to the half type first)
        return None
    if values == "extreme" and "alpha" in kwargs:  # (PyTorch's vectors multiply and add without rounding, and overflow, in between)
        return None
    written = form == "inplace" or o.name.endswith("_") or "scatter" in o.name or "put" in o.name or o.name in (*WRITES, "gather")  # (PyTorch reads one row only of indices in int32 that are expanded)
    if o.name.startswith(("as_strided", "native_group_norm", *CRASH)):
        without: tuple = ("transposed", "every second", "from the end", "expanded", "overlapping")
    else:
        without = ("expanded", "overlapping") if written or o.name.startswith(MATRICES) or "_norm" in o.name or o.name in TIES else ()
    drawn = Drawn(r, values, without, kind in ("UnaryUfuncInfo", "BinaryUfuncInfo") and "polynomial" not in o.name or o.name in MIXED, o.name)
    if "conv_transpose" in o.name and dtype == "bfloat16":  # (PyTorch refuses results without elements in the other dtypes only)
        drawn.size = False
    try:
        texts = [drawn.text(x) for x in args]
        named = [f"{k}={drawn.text(v)}" for k, v in kwargs.items()]
    except TypeError:
        return None
    f, inputs = called(at), drawn.inputs
    if len(inputs) > 20 or o.name == "cov" and inputs[0].shape[-1:] in ((), (1,)):  # (PyTorch's cov subtracts the mean of one observation in its input)
        return None
    if values == "extreme" and {"bfloat16", "float16"} & (have := {x.dtype for x in inputs}) and {"int32", "int64"} & have:
        return None  # (numbers that half types do not hold)
    if {"bfloat16", "float16"} & {x.dtype for x in inputs} and ("mod" in o.name and form.startswith("grad") or any(
            not x.shape and x.dtype in ("float32", "float64") for x in inputs)):
        return None  # (quotients near whole numbers; numbers without dims, which PyTorch rounds to the half type first)
    if "polygamma" in o.name and any(x.dtype.startswith(("int", "bfloat", "float16")) or any(
            str(n)[0] == "-" and str(n).endswith(".0") for n in x.numbers) for x in inputs):
        return None  # (poles, where PyTorch divides by the rounded sine of a multiple of pi)
    rest = ", ".join([*texts, *named])
    if "'circular'" in rest and any(str(n)[0] == "-" for x in (*args[1:], *kwargs.values()) if isinstance(x, (tuple, list)) for n in x):
        return None  # (PyTorch leaves parts unwritten, and gradients out)
    if form in ("method", "inplace"):
        pattern = f"({texts[0]}).{method if form == 'method' else inplace}({', '.join([*texts[1:], *named])})"
    elif form == "out":
        pattern = f"with_out({f}, {r.choice(['same', 'same', 'transposed', 'empty', 'other size', 'other dtype', 'wide'])!r}, {rest})"
    elif form in ("grad", "gradgrad"):
        pattern = f"{form}({f}, {rest})"
    elif form == "native":
        pattern = f"native(lambda: {f}({rest}))"
    else:
        pattern = f"{f}({rest})"
    if dtype == "uint8" and ("interpolate" in o.name or "upsample" in o.name):  # (PyTorch's weights of bytes are 16-bit integers)
        pattern = f"({pattern}).half() / 120"
    if o.name == "einsum" and "int" in dtype:  # (sums of integers are wide, or not, by the order in which they are taken)
        pattern = f"({pattern}).double()"
    if o.name == "histc" and dtype in ("bfloat16", "float16"):  # (rounding decides between bins)
        pattern = f"form({pattern})"
    if o.name in TIES:
        pattern = f"first({pattern})"
    if o.name.startswith(UNDEFINED) or o.name in NOT_UNIQUE or "dropout_p=0.5" in rest or "multi_head" in o.name:
        pattern = f"form({pattern})" if not form.startswith("grad") else f"form({f}({rest}))"
    return o.formatted_name, pattern, tuple(inputs)


def name_of(method) -> str:
    """A method's name; "" for what has none."""
    name = getattr(method, "__name__", "")
    return name if name.isidentifier() else ""


def in_framework(f, T):
    """A function of PyTorch's tests that says `torch`, saying T."""
    import torch

    if T is torch or not isinstance(f, types.FunctionType):
        return f
    space = dict(f.__globals__, torch=T)
    closure = f.__closure__
    if closure:
        closure = tuple(types.CellType(in_framework(c.cell_contents, T)) for c in closure)
    made = types.FunctionType(f.__code__, space, f.__name__, f.__defaults__, closure)
    made.__kwdefaults__ = f.__kwdefaults__
    return made


def space(T) -> dict:
    """The names of the patterns."""
    import torch

    def op(name, variant):
        o = next(o for o in operators() if (o.name, o.variant_test_name) == (name, variant))
        if name.startswith("__"):
            return getattr(T.Tensor, name)
        if hasattr(o.op, "__code__"):
            return in_framework(o.op, T)
        return getattr(T.Tensor, name, None) or functools.reduce(getattr, name.split("."), T)

    def form(y):
        if isinstance(y, (list, tuple)):
            return [form(e) for e in y]
        return (str(y.dtype), tuple(y.shape)) if isinstance(y, T.Tensor) else y

    def first(y):
        return (y if isinstance(y, T.Tensor) else y[0]).sort(-1)[0]

    def with_out(f, kind, *args, **kwargs):
        y = f(*args, **kwargs)
        if kind == "other size" and any(t.numel() == 0 for t in tensors(T, y)):
            kind = "same"  # (where there is nothing to write, PyTorch does not resize)
        made = [T.zeros(t.shape, dtype=t.dtype) if kind == "same"
                else T.zeros(tuple(t.shape)[::-1], dtype=t.dtype).permute(tuple(range(t.dim())[::-1])) if kind == "transposed"
                else T.zeros(0, dtype=t.dtype) if kind == "empty"
                else T.zeros((2, *t.shape), dtype=t.dtype) if kind == "other size"
                else T.zeros((*t.shape, 2), dtype=t.dtype)[..., 0] if kind == "wide"
                else T.zeros(t.shape, dtype=T.float64 if t.dtype is not T.float64 else T.int32)
                for t in tensors(T, y)]
        given = made[0] if isinstance(y, T.Tensor) else tuple(made) if isinstance(y, tuple) else made
        z = f(*args, out=given, **kwargs)
        return [y, given, form(z)]

    def grad(f, *args, create_graph=False, **kwargs):
        wanted = []

        def leaf(x):
            if isinstance(x, T.Tensor) and (x.is_floating_point() or x.is_complex()):
                wanted.append(x.detach().requires_grad_())
                return wanted[-1].view_as(wanted[-1])
            if isinstance(x, dict):
                return {k: leaf(v) for k, v in x.items()}
            return type(x)(map(leaf, x)) if type(x) in (list, tuple) else x

        args, kwargs = leaf(tuple(args)), leaf(kwargs)
        if not wanted:
            return []
        y = f(*args, **kwargs)
        total = 0
        for k, t in enumerate(t for t in tensors(T, y) if t.requires_grad):
            t = T.view_as_real(t.resolve_conj()) if t.is_complex() else t
            t = t.to(T.float64)
            n = t.numel()
            total = total + (t.reshape(-1) * T.linspace(0.5 + k, 1.5 + k, max(n, 1), dtype=T.float64)[:n]).sum()
        if not isinstance(total, T.Tensor):
            return [y, [None] * len(wanted), [None] * len(wanted)]
        first = T.autograd.grad(total, wanted, create_graph=create_graph, allow_unused=True)
        second = [None] * len(wanted)
        if create_graph:
            inner = [T.view_as_real(g.resolve_conj()) if g.is_complex() else g for g in first if g is not None and g.requires_grad]
            if inner:
                total = sum((g.to(T.float64) ** 2).sum() for g in inner)
                if total.requires_grad:
                    second = T.autograd.grad(total, wanted, allow_unused=True)
        return [y, list(first), list(second)]

    def native(f):
        if T is torch:
            return [f() for _ in range(RUNS)][-1]
        from rushlight.compile import background
        from rushlight.interpret import program

        mode, cost = background.MODE, program.COST
        background.MODE, program.COST = "now", 0.0
        try:
            for _ in range(RUNS):
                y = f()
                for t in tensors(T, y):
                    t.tolist()
        finally:
            background.MODE, program.COST = mode, cost
            failures = background.failures[:]
            background.failures.clear()
        if failures:
            raise AssertionError(f"not compiled: {failures[0]!r}")
        return y

    return {"op": op, "form": form, "first": first, "with_out": with_out, "grad": grad, "native": native,
            "gradgrad": functools.partial(grad, create_graph=True)}
