"""A few seconds of `benchmarks/fuzz.py`: single operators on odd inputs, against PyTorch."""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
from pathlib import Path

import pytest

import rushlight as torch

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
CASES = 1500


def load():
    """The benchmark as a module."""
    if str(FUZZ.parent) not in sys.path:
        sys.path.insert(0, str(FUZZ.parent))
    spec = importlib.util.spec_from_file_location("fuzz", FUZZ)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module  # (dataclasses look their module up)
    spec.loader.exec_module(module)
    return module


def test_odd_inputs():
    shown: list[str] = []
    count, found = load().search(
        range(CASES * max(1, int(os.environ.get("RUSHLIGHT_FUZZ", "0")) // 150)),
        show=lambda *lines, **_: shown.extend(lines),
    )
    assert count > 0.9 * CASES and not found, "\n".join(shown)


def test_differences_are_seen_and_shrunk():
    fuzz = load()

    def number(shape, values):
        return fuzz.Input(shape, "float32", "", values, 1)

    assert fuzz.difference(("float32", 1.0), ("float64", 1.0))
    a, b = (("float32", fuzz.np.float32([1, x])) for x in (2, 3))
    assert fuzz.difference(a, b) and not fuzz.difference(a, a)
    assert fuzz.difference(ValueError("x"), a)
    assert fuzz.difference(ValueError("x"), TypeError("x"))
    assert not fuzz.difference(IndexError("x"), IndexError("y"))
    case = fuzz.Case("{0}.sum() + (2 if T.__name__ == 'torch' else 1)", (number((2, 3), "tame"),))
    assert case.differs()
    assert fuzz.shrunk(case).inputs[0].shape in ((), (0,))


def slopes(name: str, *args: str) -> str:
    """An expression: the gradient of an activation at odd places."""
    x = "x := T.tensor([float('nan'), 0.0, -0.0, float('inf'), -float('inf'), 3.0, -3.0, 0.5], requires_grad=True)"
    return f"(F.{name}({', '.join([x, *args])}).sum().backward(), x.grad)[1]"


FOUND = [
    # refused by PyTorch, and now here
    "F.hardtanh(T.tensor([248, 3], dtype=T.uint8))",
    "F.hardtanh(T.tensor([248, 3], dtype=T.uint8), 0, 5)",
    "T.index_add(T.tensor(1.5), 0, T.tensor([0]), T.tensor([1.5]))",
    "T.index_add(T.tensor([1.5]), 0, T.tensor(0), T.tensor(1.5))",
    "F.batch_norm(T.ones(1, 1), T.tensor(1.0), T.tensor(1.0))", "T.addcmul(*[T.tensor(2)] * 3, value=float('inf'))",
    "F.cross_entropy(T.ones(2, 3), T.ones(2, 3), weight=T.tensor(1.5))",
    "F.cross_entropy(T.ones(2, 3), T.ones(2, 3), weight=T.tensor([1.5, 1.0, 0.5]))",
    "T.mvlgamma(T.tensor(True), 1)",
    "T.complex(T.ones(2).bfloat16(), T.ones(2).bfloat16())",
    "T.polar(T.ones(2).bfloat16(), T.ones(2).bfloat16())",
    # computed by PyTorch, and now here
    "F.batch_norm(T.ones(2, 1), T.ones(1), T.ones(1), T.tensor(1.0), T.tensor(2.0))",
    "T.addcmul(T.tensor(-8), T.tensor(4), T.tensor(2, dtype=T.uint8), value=3.14)",
    "T.tensor(-8).addcmul_(T.tensor(4), T.tensor(2), value=-3.7)",
    "T.addcmul(T.ones(2).byte(), T.ones(2).byte(), T.ones(2).byte(), value=-3)",
    *(f"T.{f}({a}, {b}, alpha={n})" for f in ("add", "sub", "rsub") for n in ("-3.125", "2")
      for a, b in (("T.tensor([1.5])", "T.tensor([4]).char()"), ("T.tensor(1.5)", "T.tensor([True])"), ("T.ones(2)", "3"), ("T.tensor([3])", "0.5"))),
    *(f"F.{f}(x := T.zeros((*{shape}, 0), requires_grad=True), T.zeros({shape}).long(), ignore_index=0, reduction={r!r}{w})"
      for f in ("nll_loss", "cross_entropy") for shape in ("()", "(2,)") for r in ("none", "sum", "mean") for w in ("", ", weight=T.zeros(0)", *[", label_smoothing=0.1"] * (f == "cross_entropy"))),
    *(f"F.cross_entropy(T.zeros(2, 0), T.zeros(2, 0), label_smoothing=0.1, reduction={r!r})" for r in ("none", "sum", "mean")),
    "(F.nll_loss(x := T.zeros(2, 0, requires_grad=True), T.zeros(2).long(), ignore_index=0).backward(), x.grad)[1]",
    *(f"{x}.index_put{i}(({m},), {v})" for x in ("T.ones(2, 3)", "T.ones(0)", "T.ones(1)") for m in ("T.tensor(True)", "T.tensor(False)")
      for v in ("T.tensor(5.0)", "T.tensor([5.0])", "T.ones(1, 2)") for i in ("", "_")),
    "T.ones(2, 3).index_put((T.tensor([0, 1]), T.tensor(True)), T.tensor(5.0))",
    # wrong results
    "F.interpolate(T.arange(16).reshape(1, 1, 4, 4).to(T.uint8) * 15, scale_factor=2, mode='bilinear')",
    "T.einsum('...ik, ...j -> ij', T.ones(2, 3, 4).short(), T.ones(2, 5).short())",
    "T.tensordot(T.ones(1, 1, 1).short(), T.ones(2, 1, 2).short(), dims=([0, 1], [2, 0]))",
    "T.linspace(4.3, -3, 50, dtype=T.int8)", "T.full((2,), 1e10, dtype=T.float16)", "T.full_like(T.ones(2).half(), -7e4)",
    "T.bincount(T.tensor([]).short(), weights=T.tensor([]).short())", "T.unravel_index(T.tensor(3).to(T.uint8), (4, 3))",
    "T.isin(T.ones(1).half(), T.ones(1).bfloat16())", "T.cat([T.zeros(0), T.zeros(0)], 1)",
    "F.cosine_similarity(T.ones(3).char(), T.ones(3).bfloat16(), dim=0)", "T.view_copy(T.ones(5, 1).expand(5, 3), (15,))",
    "T.lgamma(T.tensor([1e308, -1.7e308], dtype=T.float64))", "T.var(T.zeros(0), dim=None, correction=-1)",
    "T.igamma(T.tensor([1e308], dtype=T.float64), T.ones(1, dtype=T.float64))",
    "T.unique_consecutive(T.tensor([]))", "F.conv2d(T.ones(1, 0, 4, 4), T.ones(2, 0, 3, 3), T.ones(2))",
    "F.instance_norm(T.ones(3, 2, 0, 3), (m := T.ones(2)), T.ones(2)).shape, m",
    "F.rms_norm(T.tensor([300.0, 361.0]).half(), (2,))", "T.linalg.cond(T.zeros(2, 0, 0))", "T.trapezoid(T.zeros(0).int())",
    "T.arange(0, 3.1, dtype=T.int64), T.arange(0, 3.1, dtype=T.int32)", "T.einsum('iji->j', T.ones(2, 3, 2).int())",
    "(T.logsumexp(x := T.tensor([-1 - 1.7j, 2 + 3j], requires_grad=True), 0).abs().backward(), x.grad)[1]",
    "(T.logcumsumexp(x := T.tensor([1e4 - 1.7j, 1e4 + 3j], requires_grad=True), 0).abs().sum().backward(), x.grad)[1]",
    "(T.pow(-6.1, x := T.tensor([0.5 + 1j], requires_grad=True)).abs().sum().backward(), x.grad)[1]",
    *(f"(T.lerp({a}, {b}, {c}).abs().backward(), x.grad)[1]" for a, b, c in itertools.permutations((
        "x := T.tensor(2 + 1j, requires_grad=True)", "T.tensor(-1 + 3j)", "T.tensor(0.3 - 2j)"))),
    "(T.acosh(x := T.tensor([-float('inf'), 2.0], requires_grad=True)).sum().backward(), x.grad)[1]",
    "(T.prod(x := T.tensor(float('nan'), requires_grad=True)).backward(), x.grad)[1]",
    *(f"T.nextafter(T.tensor([float('inf'), 1.0, 0.0, -1.0], dtype=T.{t}), T.tensor([0.0, 2.0, 1.0, -2.0], dtype=T.{t}))"
      for t in ("bfloat16", "float16", "float64")), "T.nextafter(T.ones(2), T.tensor(3.0).double())",
    "T.ldexp(T.ones(2).bfloat16(), T.tensor([1, -2]))", "T.ldexp(T.ones(2).half(), T.tensor([1, 2], dtype=T.uint8))",
    "F.threshold(T.tensor([0, -4, -7]).char(), -4.1, -5.4)", "T.view_as_complex(T.ones(2).as_strided((1, 2), (1, 1)))",
    "(T.logcumsumexp(x := T.zeros(0, dtype=T.complex64, requires_grad=True), 0).abs().sum().backward(), x.grad)[1]",
    "T.i0(T.tensor([800.0, -1e308]).double())", "T.special.i1(T.tensor([800.0, -1e30]))", "T.ldexp(T.tensor(1.0).double(), T.tensor([1, 200]))", "T.ldexp(T.tensor([1e-30, 0.0]), T.tensor([150, 2000]))",
    "T.ldexp(T.tensor(1e-300).double(), T.tensor([1500, -30]))",
    "(T.ldexp(x := T.ones(2, requires_grad=True), T.tensor([[1, 2], [0, 3]])).sum().backward(), x.grad)[1]",
    "T.searchsorted(T.tensor([0.0]).bfloat16(), T.tensor([0.0, float('nan')]).bfloat16())",
    "T.block_diag(T.tensor(1.5).double(), T.ones(2))", "T.tensor([True]).copy_(T.tensor([-1.25j]))",
    "(T.prod(x := T.tensor([[0j, 2 + 1j], [1 - 1j, 3j]], requires_grad=True), 1).abs().sum().backward(), x.grad)[1]",
    # results written into `out`
    "T.randn(2, 3, dtype=T.complex64, out=(o := T.zeros(0, dtype=T.complex64))).shape, o.shape",
    "T.normal(0.0, 1.0, (2, 3), out=(o := T.zeros(0))).shape, o.shape",
    "T.tensordot(T.ones(2, 3), T.ones(3, 2), 1, out=T.zeros(0))", "F.normalize(T.ones(2, 3), out=T.zeros(0))",
    "T.multinomial(T.ones(2, 3), 2, out=(o := T.zeros(0).long())).shape, o.shape",
    "T.bernoulli(T.ones(2), out=T.zeros(0))",
    # gradients beside NaN, at limits
    *(f"T.autograd.grad(T.var(x := T.tensor([1.0, 2.0, {third}], requires_grad=True), correction={n}{dim}), x, create_graph=True)"
      for third in (1.5, 3.0) for n in (2, 3, 4) for dim in ("", ", dim=0")),
    "T.autograd.grad(T.var(x := T.tensor(1.0, requires_grad=True)), x, create_graph=True)[0].requires_grad",
    "T.autograd.grad((T.autograd.grad(F.cross_entropy(x := T.ones(2, 2, requires_grad=True), T.tensor([1, 1]), ignore_index=1), x, create_graph=True)[0] ** 2).sum(), x)",
    *(f"T.cross({a}, {b})" for a, b in (("T.ones(1, 3)", "T.eye(3)"), ("T.eye(3)", "T.ones(1, 3)"), ("T.ones(3, 1)", "T.eye(3)"))),
    "T.autograd.grad(T.autograd.grad(T.logaddexp(T.full((250,), 1.5), b := T.tensor(4.62890625, dtype=T.float16, requires_grad=True)).sum(), b, create_graph=True)[0] ** 2, b)[0].isfinite()",
    "T.autograd.grad(T.nextafter(x := T.tensor([1.0, 2.0, 3.0], requires_grad=True), y := T.tensor([1.0, 3.0, 2.0], requires_grad=True)).sum(), (x, y))",
    *map(slopes, ("relu", "relu6", "hardtanh", "celu", "elu", "selu", "leaky_relu", "softplus", "hardshrink")),
    slopes("threshold", "0.1", "2.0"),
    "(T.nextafter(x := T.tensor([1.0, 2.0], requires_grad=True), T.ones(2)).sum().backward(), x.grad)[1]",
    "T.multinomial(T.ones(0, 3), 2, replacement=True)", "F.scaled_dot_product_attention(*[T.zeros(4, 3, 0)] * 3)",
    "(F.conv1d(x := T.zeros(2, 0, 5, requires_grad=True), T.zeros(1, 0, 3)).sum().backward(), x.grad)[1]",
    # what is refused
    "T.lerp(T.ones(2), T.ones(2).double(), 0.5)", "T.lerp(T.ones(2), T.ones(2), T.ones(2).double())",
    "T.lerp(T.ones(2), T.ones(2), T.tensor(0.5).double())", "T.lerp(T.ones(2).int(), T.ones(2).int(), 0.5)",
    "T.heaviside(T.ones(2), T.ones(2) + 1j)", "T.isin(T.ones(1) + 1j, T.ones(1))",
    "T.hsplit(T.ones(3), 2)", "T.vsplit(T.ones(3, 2), 2)", "T.dsplit(T.ones(1, 1, 3), 2)", "T.hsplit(T.ones(4), 2)",
    "T.repeat_interleave(T.ones(1), T.tensor([3]), output_size=6)", "T.combinations(T.tensor(1))",
    "T.cartesian_prod(T.tensor(1), T.tensor(2))", "F.group_norm(T.ones(1, 1, 1), 1)", "F.group_norm(T.ones(1, 4, 2), 2, T.ones(1))",
    "F.layer_norm(T.ones(2, 3), (3,), T.ones(1))", "F.rms_norm(T.ones(2, 3), (3,), T.ones(1))",
    "T.linalg.tensorinv(T.tensor(1.5), ind=3)", "T.linalg.tensorsolve(T.tensor(1.0), T.ones(0), dims=(0, 2))",
    "F.cosine_embedding_loss(T.ones(2, 3), T.ones(2, 3), T.tensor(1))", "F.margin_ranking_loss(T.ones(2, 3), T.ones(2, 3), T.ones(3))",
    "F.multilabel_soft_margin_loss(T.tensor(1.0), T.tensor(1.0))", "T.histogram(T.ones(3), T.ones(1))",
    "F.interpolate(T.ones(1, 1, 1), scale_factor=0.6, mode='linear')", "F.dropout3d(T.tensor(1.5), training=True)",
    *(f"F.batch_norm(T.ones({s}), None, None, training=True)" for s in ("1", "3")), "T.native_batch_norm(T.ones(3), None, None, None, None, True, 0.5, 1e-5)",
    "T.searchsorted(T.ones(1, 3), T.tensor(2.0))", "T.searchsorted(T.ones(2, 3), T.ones(3, 1))", "T.nextafter(T.ones(2).int(), T.ones(2))",
    "T.index_reduce(T.tensor(9), 0, T.tensor(0), T.tensor([6]), 'amax')", "T.hash_tensor(T.zeros(3, 0, 1, 0), dim=-1)",
    "T.nextafter(T.tensor(1), T.tensor(2))", "F.batch_norm(T.tensor(1.5), None, None, training=True)", "F.feature_alpha_dropout(T.tensor(1.5), training=True)", "T.istft(T.ones(6, 1) + 0j, n_fft=10, onesided=True)",
    "F.pad(T.tensor(1.5), (0, 1), 'replicate')", "F.pad(T.ones(2, 0, 3), (1, 1), 'replicate')",
    "F.adaptive_avg_pool1d(T.ones(2, 0, 4), 2)", "F.adaptive_max_pool1d(T.ones(2, 4, 0), 2)",
    "F.conv1d(T.ones(2, 3, 4), T.ones(0, 3, 2))", "F.conv1d(T.ones(2, 3, 0), T.ones(2, 3, 2), padding=1)",
    "F.conv_transpose1d(T.ones(1, 4, 5), T.ones(4, 0, 3))", "F.conv_transpose2d(T.ones(2, 3, 3), T.tensor(1.5))",
    "T.ones(()).index_put((T.tensor(False),), T.tensor(1.5))", "T.tensor(1.5).split((1, 2))", "T.tensor_split(T.tensor(1.5), 3)",
    "T.unflatten(T.tensor(1.5), -1, (2, 2))", "T.lu_unpack(T.ones(1, 1), T.tensor([6]).int())",
    "T.hash_tensor(T.tensor(1), dim=(0, -1))", "T.index_reduce(T.ones(1), 0, T.tensor(0), T.tensor(2.0), 'prod')",
    "F.threshold(T.tensor([5], dtype=T.uint8), 2, -7)", "F.conv_transpose1d(T.ones(2, 3, 3), T.ones(3, 2, 1), T.tensor(1.0))",
    "T.linalg.lu_solve(T.ones(1, 1), T.ones(1).int(), T.tensor(1.0))",
    "T._segment_reduce(T.tensor(1.5), 'sum', axis=0, lengths=T.tensor(2))",
    "0 / T.tensor(1e-310, dtype=T.float64)", "F.hardtanh(T.tensor([248], dtype=T.uint8), min_val=-0.5, max_val=0.5)",
    "T.nanquantile(T.tensor(1.5), 0.5, dim=2)", "T.tensor([9]).diff(0, 0, None, T.tensor(1))", "T.masked.prod(T.ones(2, 3), dim=7)", "T.randint_like(T.ones(3), -9)", "F.bilinear(T.ones(2, 3), T.ones(2, 4), T.ones(1, 3, 4), T.tensor(1.0))",
    "[x := T.ones(1, 4).expand(3, 4), x.__setitem__(T.tensor(True), 0.5)][0]", "[x := T.ones(1, 4).expand(3, 4), x.__setitem__(T.tensor([True, False, True]), 0.5)][0]",
    "F.bilinear(T.ones(2, 3), T.ones(2, 4), T.ones(1, 1, 4))", "F.bilinear(T.tensor(1), T.ones(0).long(), T.tensor(-2), T.tensor(-1))",
    "T.masked.prod(T.tensor(5, dtype=T.uint8), dim=(0, -1), keepdim=True)",
    "T.constant_pad_nd(T.ones(1, 1, 1, 1), (-1, 1, -2, 1), 1.0)", "F.pad(T.ones(1, 1, 1, 1), (-1, 1, -2, 1), 'circular')", "T.polygamma(1, T.tensor([-2.5, -1e10 + 0.5, 0.3], dtype=T.float64))",
]


def test_gradients_beside_integers():
    """Of their values: PyTorch squares them in their dtype, where they wrap."""
    x, i = torch.tensor([1.5, -2.0], requires_grad=True), torch.tensor([248, 200], dtype=torch.uint8)
    for angle in (lambda x, i: torch.atan2(i, x), torch.atan2):
        expected, = torch.autograd.grad(angle(x, i.float()).sum(), x)
        torch.testing.assert_close(torch.autograd.grad(angle(x, i).sum(), x)[0], expected)


def test_a_complex_value_has_a_gradient():
    value = torch.tensor(1.5 + 0j, requires_grad=True)
    torch.masked_fill(torch.ones(3), torch.tensor([True, False, True]), value).sum().backward()
    assert value.grad == 2
    with pytest.raises(RuntimeError, match="overflow"):
        torch.masked_fill(torch.ones(3), torch.tensor([True, False, True]), torch.tensor(1j))


def test_what_it_found():
    """Cases that differed once."""
    for lines in (
        "T.tensor([1.0, 2.0])[T.tensor(1, dtype=T.int16)]",
        "T.tensor([1.0, float('inf')], dtype=T.float16).nan_to_num()",
        "T.tensor([1.0, float('nan'), float('nan')]).unique()",
        "T.log_softmax(T.tensor(float('nan')), -1)",
        "T.tensor([True]).add(T.tensor([True]), alpha=2)",
        "T.tensor([1, 5], dtype=T.uint8).clamp(-5, 3)",
        "T.tensor([1, 5], dtype=T.uint8).clamp(0, 300)",
        "T.tensor([1.0], dtype=T.float16).masked_fill(T.tensor([True, False]), -1e9)",
        "T.where(T.tensor([True, False]), T.tensor([1, 2], dtype=T.int8), 300)",
        "T.zeros(3).copy_(T.zeros(1, 3))",
        "T.tensor([], dtype=T.float32).kthvalue(1, 0)",
        "T.isclose(T.zeros(0), T.zeros(3))",
        "T.addcmul(T.tensor(0.0, dtype=T.float64), T.tensor(3), T.tensor([3.4e38]))",
        "T.add(T.tensor([1.0], dtype=T.float64), T.tensor([0.1]), alpha=0.3)",
        "T.meshgrid(T.zeros(2), T.zeros(3, 1), indexing='ij')",
        "T.tensor(1.0).diff()", "T.arange(1j)", "T.tensor([1j]).sign()",
        "T.searchsorted(T.tensor(0.0), T.tensor([1.0]))",
        *FOUND,
    ):
        found = load().Case(lines, ()).differs()
        assert not found, f"{lines}: {found}"
