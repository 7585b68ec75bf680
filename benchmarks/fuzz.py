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
import random
import sys
import time
import warnings

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
    T.addcmul({x}, {x}, {x}) | T.addcdiv({f}, {f}, {f}) | T.threshold({x}, 1, 2) | T.rsub({x}, {x}) | T.float_power({x}, 2)"""
OTHERS = """
    T.add({x}, {x}, alpha=2) | {x}.sum() | {x}.sum({d}) | {x}.sum({d}, keepdim=True) | {x}.mean({d}) | {x}.prod({d}) | {x}.amax({d}) | {x}.amin() | {x}.max()
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
    F.one_hot({i}) | F.pad({x}, (1, 2)) | F.normalize({f}) | F.mse_loss({f}, {f}) | F.l1_loss({f}, {f}) | F.cosine_similarity({f}, {f})
    F.layer_norm({f}, {f}.shape[-1:]) | F.gelu({f}) | F.linear({f}, {f}) | F.embedding({i}, {f}) | T.trapezoid({f}) | T.fft.fft({x}) | T.fft.rfft({f}).abs()
    {x}.add_({x}) | {x}.mul_({n}) | {x}.fill_({n}) | {x}.copy_({x}) | {x}.clamp_(0, 1) | {x}.zero_() | {x}.sub_({x}) | {x}.div_({x}) | {x}.masked_fill_({b}, {n})
    {x}.is_contiguous() | {x}.stride() | T.broadcast_tensors({x}, {x}) | T.result_type({x}, {x}) | T.result_type({x}, {n}) | T.atleast_2d({x}) | {x}.tolist()
    T.full({x}.shape, {n}, dtype={x}.dtype) | T.full_like({x}, {n}) | T.empty_like({x}).shape | T.arange({n}) | T.linspace(0, {n}, 3) | T.meshgrid({x}, {x}, indexing='ij')"""
ELEMENTWISE, OTHERS = ([p for line in t.splitlines() for p in line.strip().split(" | ") if "(" in p or p.count(" ") or p]
                       for t in (ELEMENTWISE, OTHERS))
ELEMENTWISE.append("{i} | {i}")
ELEMENTWISE = [p for p in ELEMENTWISE if p != "{x}"]
KNOWN = {  # expressions whose outcome in PyTorch depends on vectorization or order, or that it computes oddly
    "{n} / {x}", "T.mv", "T.einsum", "T.full", "T.gcd", "F.gelu", "T.ldexp", "T.trapezoid", "T.nextafter", "T.bucketize", "T.searchsorted", "T.cdist",
    "F.embedding",
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


def draw_input(r: random.Random, kind: str, values: str, shapes, without=()) -> Input:
    dtype = {"x": r.choice(DTYPES), "f": r.choice(FLOATS), "i": r.choice(INTEGERS), "b": "bool"}[kind]
    if r.random() < 0.4:
        dtype = {"x": "float32", "f": "float32", "i": "int64", "b": "bool"}[kind]
    shape = r.choice(shapes)
    views = [v for v in VIEWS if shape and v not in without or v in ("", "transposed")]
    return Input(shape, dtype, r.choice(["", *views]), values, r.randrange(1 << 30))


@dataclasses.dataclass(frozen=True)
class Case:
    """A pattern with {0}, {1} ... for its inputs."""

    pattern: str
    inputs: tuple

    def lines(self) -> list[str]:
        names = "abcdefgh"
        made = [f"{n} = {x.text()}" for n, x in zip(names, self.inputs, strict=False)]
        return [*made, "y = " + self.pattern.format(*names[: len(self.inputs)])]

    def run(self, T):
        """(the result, the inputs after it), or the exception."""
        space = {"T": T, "F": T.nn.functional}
        try:
            exec("\n".join(self.lines()), space)
            return plain(T, [space["y"], *(space[n] for n in "abcdefgh"[: len(self.inputs)])])
        except Exception as e:
            return e

    def differs(self) -> str:
        """How the frameworks differ; "" if they do not."""
        import torch

        import rushlight

        return difference(self.run(rushlight), self.run(torch))


def draw(seed: int) -> Case:
    """A random case."""
    r = random.Random(seed)
    elementwise = r.random() < 0.5
    pattern = r.choice([p for p in (ELEMENTWISE if elementwise else OTHERS) if p.split("(")[0] not in KNOWN])
    values = r.choice(["tame", "odd", "extreme"] if elementwise else ["tame", "tame", "odd"])
    shared = ("expanded", "overlapping") if "_(" in pattern else ()  # written in an order that is undefined
    near = r.choice([SHAPES, [r.choice(SHAPES)], [(), (3,), (1, 3), (2, 3)]])
    inputs: list[Input] = []
    for kind in "xfib":
        while "{" + kind + "}" in pattern:
            pattern = pattern.replace("{" + kind + "}", f"{{{len(inputs)}}}", 1)
            inputs.append(draw_input(r, kind, values, near, shared))
    while "{n}" in pattern:
        pattern = pattern.replace("{n}", r.choice(NUMBERS), 1)
    while "{d}" in pattern:
        pattern = pattern.replace("{d}", r.choice(["0", "-1", "1", "-2"]), 1)
    return Case(pattern.replace("{t}", "T." + r.choice(DTYPES)), tuple(inputs))


def plain(T, x):
    """Nested lists of (dtype, array), and of other values as they are."""
    if isinstance(x, (list, tuple)) and not isinstance(x, T.Size):
        return [plain(T, e) for e in x]
    if isinstance(x, T.Tensor):
        name = str(x.dtype).split(".")[-1]
        x = x.resolve_conj().resolve_neg()
        return name, (x.double() if name == "bfloat16" else x).numpy().copy()
    return str(x) if isinstance(x, T.dtype) else tuple(x) if isinstance(x, T.Size) else x


# Said by PyTorch where a dtype, or a pair of them, has no kernel: Rushlight computes most of these.
UNSUPPORTED = ("MKL FFT error", "ComplexHalf", "setStorage", "not implemented", "view size is not compatible", "not supported", "not support", "dtype", "scalar type", "Expected a long tensor",
               "invalid combination of arguments", "Float did not match", "same type")


def difference(a, b) -> str:
    """Of Rushlight's outcome `a` and PyTorch's `b`."""
    if isinstance(b, Exception) or isinstance(a, Exception):
        if isinstance(b, Exception) and any(x in str(b) for x in UNSUPPORTED):
            return ""
        same = isinstance(a, Exception) and isinstance(b, Exception) and (
            isinstance(a, type(b)) or type(b).__name__ in [c.__name__ for c in type(a).__mro__])
        return "" if same else f"{short(a)}, not {short(b)}"
    if isinstance(b, list):
        if not isinstance(a, list) or len(a) != len(b):
            return f"{short(a)}, not {short(b)}"
        return next(filter(None, (difference(x, y) for x, y in zip(a, b, strict=True))), "")
    if isinstance(b, tuple) and len(b) == 2 and isinstance(b[1], np.ndarray):
        if not (isinstance(a, tuple) and len(a) == 2 and isinstance(a[1], np.ndarray)):
            return f"{short(a)}, not {short(b)}"
        if a[0] != b[0] or a[1].shape != b[1].shape:
            return f"{a[0]} {a[1].shape}, not {b[0]} {b[1].shape}"
        r, x, y = RTOL.get(a[0], 0), *np.broadcast_arrays(a[1], b[1])
        if a[0].startswith(("complex", "float16")):  # what became infinite between depends on the kernel
            x, y = x[np.isfinite(y)], y[np.isfinite(y)]
        with np.errstate(all="ignore"):
            close = np.allclose(x, y, r, r / 10, equal_nan=True)
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
            plainer = [dataclasses.replace(x, view=""), dataclasses.replace(x, values="tame"),
                       dataclasses.replace(x, dtype="float32"), dataclasses.replace(x, seed=0),
                       *(dataclasses.replace(x, shape=s, view="") for s in ((), (1,), (3,), (0,)) if len(s) <= len(x.shape))]
            for p in plainer:
                if p == x or len(p.text()) >= len(x.text()):
                    continue
                new = Case(case.pattern, (*case.inputs[:j], p, *case.inputs[j + 1:]))
                if new.differs():
                    case, x, again = new, p, True
    return case


def search(seeds, seconds: float = float("inf"), show=print) -> tuple[int, list[Case]]:
    """(the number of cases run, the cases that differ, one of a pattern)."""
    found: dict = {}
    end, count = time.monotonic() + seconds, 0
    for seed in seeds:
        if time.monotonic() > end:
            break
        case = draw(seed)
        count += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if case.pattern in found or not case.differs():
                continue
            case = found[case.pattern] = shrunk(case)
            show(f"# seed {seed}: {case.differs()}", *case.lines(), "", sep="\n", flush=True)
    return count, list(found.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--cases", type=int, default=1 << 40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    count, found = search(range(options.seed, options.seed + options.cases), options.minutes * 60)
    print(f"{count} cases, {len(found)} expressions differ")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
