"""Every family of operators compiled and in tier 0: the same values, and nothing left in tier 0.

What the operators compute is compared with PyTorch in `tests/ops`; here, their kernels with their
references. A family is one program, so that its loops are fused as in real ones.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from compile.compiled import Watch, check_native, run

import rushlight as torch
from rushlight.compile import background
from rushlight.trace import trie

F = torch.nn.functional
rng = np.random.default_rng(5)


def tensor(*shape, dtype=np.float32, low=-3.0, high=3.0):
    return torch.from_numpy(np.asarray(rng.uniform(low, high, shape), dtype))


X, Y, V = tensor(6, 37), tensor(6, 37), tensor(37)
P = tensor(6, 37, low=0.05, high=0.95)
CUBE = tensor(4, 6, 9)
WHOLE = torch.from_numpy(rng.integers(-9, 10, (6, 37)))
DIVISORS = torch.from_numpy(rng.choice([-3, -1, 2, 5, 7], (6, 37)))
MASK = X > 0
ODD = torch.tensor([0.0, -0.0, 1.5, -2.5, math.nan, math.inf, -math.inf, 1e-42, -3e38])
LABELS = torch.from_numpy(rng.integers(0, 37, (6,)))
SOME = torch.tensor([2, -100, 30, 0, -100, 36])
ROWS = torch.tensor([[4, 0, 4], [5, 2, 0]])
COLUMNS = torch.from_numpy(rng.integers(0, 37, (6, 5)))
AT = torch.tensor([3, 0, -1])

UNARY = (
    "abs neg sign sgn exp exp2 expm1 sqrt rsqrt reciprocal square sin cos tan atan sinh cosh tanh "
    "asinh sigmoid sinc floor ceil trunc round frac deg2rad erf erfc isnan isinf isfinite "
    "isposinf isneginf signbit logical_not nan_to_num"
).split()
INSIDE = "log log2 log10 log1p asin acos atanh erfinv lgamma digamma logit".split()
BINARY = (
    "add sub mul true_divide maximum minimum fmax fmin atan2 hypot logaddexp logaddexp2 copysign "
    "xlogy heaviside floor_divide remainder fmod eq ne lt le gt ge logical_and logical_or "
    "logical_xor pow"
).split()
INTEGERS = (
    "add sub mul floor_divide remainder fmod maximum minimum eq lt bitwise_and bitwise_or "
    "bitwise_xor bitwise_left_shift bitwise_right_shift"
).split()
ACTIVATIONS = [
    F.relu, F.gelu, lambda x: F.gelu(x, approximate="tanh"), F.silu, F.elu, F.selu, F.celu, F.mish,
    F.softplus, F.softsign, F.hardtanh, F.hardsigmoid, F.hardswish, F.relu6, F.leaky_relu,
    F.logsigmoid, F.softshrink, F.hardshrink, F.tanhshrink, lambda x: F.threshold(x, 0.1, 2.0),
    lambda x: F.glu(x, 0),
]

FAMILIES = {
    "unary": lambda: [getattr(torch, n)(X) for n in UNARY],
    "unary of odd numbers": lambda: [getattr(torch, n)(ODD) for n in UNARY if n != "sinc"],
    "unary inside": lambda: [getattr(torch, n)(P) for n in INSIDE],
    "binary": lambda: [getattr(torch, n)(X, V) for n in BINARY if n != "pow"],
    "binary of odd numbers": lambda: [getattr(torch, n)(ODD, ODD.flip(0)) for n in BINARY],
    "integers": lambda: [getattr(torch, n)(WHOLE, DIVISORS.abs()) for n in INTEGERS],
    "integer quotients": lambda: [
        WHOLE // DIVISORS, WHOLE % DIVISORS, WHOLE.fmod(DIVISORS), WHOLE.int() // DIVISORS.int(),
        torch.div(WHOLE, DIVISORS, rounding_mode="trunc"), WHOLE.to(torch.uint8) // 7,
    ],
    "powers": lambda: [X**2, X**3, P**0.5, P**1.7, P**P, WHOLE**2, WHOLE**5, P**-1, 2.0**X],
    "three operands": lambda: [
        torch.where(MASK, X, Y), X.clamp(-1, 1), X.clamp(min=V), X.clamp(Y - 1, Y), X.lerp(Y, 0.3),
        X.lerp(Y, P), X.masked_fill(MASK, 7.0), torch.addcmul(X, Y, V),
        torch.addcdiv(X, Y, P, value=2),
    ],
    "casts": lambda: [
        X.double(), X.half(), X.bfloat16(), X.int(), X.to(torch.int8), X.bool(), WHOLE.float(),
        WHOLE.to(torch.uint8), MASK.float(), MASK.long(), X.bfloat16().float() * 2,
        X.half() + Y.half(),
        X.bfloat16() * Y.bfloat16(), X.view(torch.int32) + 1,
    ],
    "activations": lambda: [f(X) for f in ACTIVATIONS],
    "reductions": lambda: [
        f for d in (0, 1, (0, 1)) for f in (
            X.sum(d), X.mean(d), X.amax(d), X.amin(d), X.var(d), X.std(d, keepdim=True),
            X.logsumexp(d), MASK.any(d), MASK.all(d), WHOLE.sum(d), X.norm(2, d), X.norm(1, d),
            X.norm(math.inf, d), X.norm(3, d), MASK.count_nonzero(d),
        )
    ],
    "reductions of a dim": lambda: [
        r for d in (0, 1) for r in (
            *X.max(d), *X.min(d), X.argmax(d), X.argmin(d, keepdim=True), P.prod(d),
            WHOLE.argmax(d),
        )
    ] + [X.argmax(), X.max(), CUBE.argmax(1), CUBE.sum((0, 2)), X[:0].sum(0), X[:, :0].sum(1)],
    "not a number": lambda: [ODD.max(), ODD.argmax(), ODD.min(0).indices, ODD.cumsum(0)],
    "rows": lambda: [
        X.softmax(1), X.softmax(0), X.log_softmax(1), F.layer_norm(X, (37,), V, V),
        F.group_norm(CUBE, 3), F.batch_norm(CUBE, None, None, training=True), F.normalize(X),
        F.rms_norm(X, (37,)), X.softmax(-1).bfloat16().softmax(-1),
    ],
    "losses": lambda: [
        F.cross_entropy(X, LABELS), F.cross_entropy(X, SOME),
        F.cross_entropy(X, LABELS, weight=P[0]),
        F.cross_entropy(X, LABELS, label_smoothing=0.1), F.cross_entropy(X, P),
        F.nll_loss(X, LABELS),
        F.nll_loss(X[0], LABELS[0]), F.binary_cross_entropy(P, P.flip(0)), F.mse_loss(X, Y),
        F.binary_cross_entropy_with_logits(X, P), F.smooth_l1_loss(X, Y), F.huber_loss(X, Y),
        F.kl_div(X, P, reduction="sum"), F.l1_loss(X, Y), F.cosine_similarity(X, Y),
        F.hinge_embedding_loss(X, Y.sign()), F.multi_margin_loss(X, LABELS),
    ],
    "reading at an index": lambda: [
        F.embedding(ROWS, X), X[AT], X[:, AT], X[AT, AT], CUBE[AT, :, AT], CUBE[:, AT, AT],
        X.gather(1, COLUMNS),
        X.gather(0, ROWS[:, :3]), X.index_select(1, COLUMNS[0]), X.take(COLUMNS),
        F.one_hot(ROWS, 7),
        torch.take_along_dim(X, COLUMNS[:1], 1), X.half()[AT], WHOLE[:, AT],
    ],
    "writing at an index": lambda: [
        X.scatter(1, COLUMNS, Y), X.scatter(1, COLUMNS, 2.0), X.scatter_add(1, COLUMNS, Y),
        X.index_add(0, AT.abs(), Y[:3]), X.index_copy(0, AT.abs(), Y[:3]), X.index_fill(1, AT, 1.0),
        X.put(ROWS, Y[:2, :3]), X.put(ROWS, Y[:2, :3], accumulate=True),
        *(X.scatter_reduce(1, COLUMNS, Y, r, include_self=s)
          for r in ("sum", "prod", "mean", "amax", "amin") for s in (True, False)),
        WHOLE.scatter_reduce(1, COLUMNS, WHOLE, "mean"), X.masked_scatter(MASK, Y),
    ],
    "rearranging": lambda: [
        torch.cat((X, Y), 0), torch.cat((X, Y[:, :5], X), 1) + 1, torch.stack((X, Y), 1), X.flip(1),
        X.flip(0, 1) + 1, X.roll(5, 1), CUBE.roll((1, 2), (0, 2)), X.tril(2), X.triu(-1),
        X.repeat(2, 3),
        CUBE.permute(2, 0, 1).contiguous(), CUBE.transpose(0, 2).reshape(9, 24) * 2, X.t().clone(),
        F.pad(X, (1, 2, 3, -1), value=5.0), X.diag_embed(1), torch.eye(4) + X[:4, :4],
        X.diagonal(2) + 1,
        torch.arange(37) + X, torch.linspace(0, 1, 37) * X, torch.full((37,), 2.0) * X,
        X.expand(3, 6, 37) + 1,
        X.repeat_interleave(2, 0), torch.outer(V, V),
    ],
    "scans": lambda: [
        X.cumsum(0), X.cumsum(1), P.cumprod(1), *X.cummax(1), *X.cummin(0), CUBE.cumsum(1),
        X.logcumsumexp(1), WHOLE.cumsum(1), MASK.cumsum(0), X.half().cumsum(1),
    ],
    "sorting": lambda: [
        *X.sort(1), *X.sort(0, descending=True), *X.topk(5, 1), *X.topk(3, 0, largest=False),
        X.argsort(1),
        *X.kthvalue(4, 1), *WHOLE.sort(1, stable=True), *ODD.sort(), *ODD.sort(descending=True),
        *X.half().sort(),
        *MASK.sort(1), *X.double().topk(9),
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_forward(family):
    check_native(FAMILIES[family], rtol=3e-5, atol=3e-5)


def gradients(f, *tensors):
    """The gradients of `sum(f * f)`."""
    given = [t.clone().requires_grad_() for t in tensors]
    made = f(*given)
    loss = sum((m * m).sum() for m in (made if isinstance(made, (tuple, list)) else (made,)))
    return torch.autograd.grad(loss, given)


BACKWARD = {
    "activations": lambda: [g for f in ACTIVATIONS for g in gradients(f, X)],
    "arithmetic": lambda: gradients(
        lambda x, y, p: [x * y / p, (x - y).exp(), p.log() * p**1.5, x.maximum(y), x.atan2(y),
        p.rsqrt()],
        X, Y, P),
    "reductions": lambda: gradients(
        lambda x: [x.sum(0), x.mean(1), x.amax(1), x.var(0), x.logsumexp(1), x.norm(2, 1),
        *x.max(1)[:1]], X),
    "rows": lambda: gradients(
        lambda x, v: [x.softmax(1), x.log_softmax(0), F.layer_norm(x, (37,), v, v)], X, V),
    "losses": lambda: gradients(
        lambda x: [F.cross_entropy(x, LABELS), F.cross_entropy(x, SOME), F.nll_loss(x, LABELS),
                   F.smooth_l1_loss(x, Y), F.binary_cross_entropy_with_logits(x, P)], X),
    "indices": lambda: gradients(
        lambda x, y: [F.embedding(ROWS, x), x[AT], x[:, AT], x.gather(1, COLUMNS), x[AT, AT],
                      x.index_select(0, AT.abs()), x.scatter(1, COLUMNS, y),
                      x.scatter_add(1, COLUMNS, y),
                      x.index_add(0, AT.abs(), y[:3]), F.embedding(ROWS, x, padding_idx=4),
                      F.embedding(ROWS, x, scale_grad_by_freq=True), x.masked_scatter(MASK, y)], X, Y),
    "parts": lambda: gradients(
        lambda x: [*x.chunk(4, 1), x[2] * x[3], x[:, ::3], x.diagonal(), x[1:, 2:5],
        torch.cat((x, x), 1),
                   F.pad(x, (1, 1)), x.flip(1), x.roll(2, 0), x.repeat(2, 1), x.tril(),
                   torch.stack((x, x)), x.unbind(0)[1]], X),
    "sums of parts": lambda: gradients(
        lambda x: [*[t * (i + 1) for i, t in enumerate(x.unbind(1))], *x.chunk(4, 1), x * 2,
                   x[:, 3:5], x[2] * 3], X),
    "scans and order": lambda: gradients(
        lambda x, p: [x.cumsum(1), p.cumprod(0), x.sort(1)[0], x.topk(3, 0)[0], x.cummax(1)[0]], X,
        P),
}


@pytest.mark.parametrize("family", BACKWARD)
def test_backward(family):
    check_native(BACKWARD[family], rtol=1e-4, atol=1e-4)


def written():
    a, b, c, d = X.clone(), X.clone(), CUBE.clone(), WHOLE.clone()
    a[1] = 3
    a[:, 2:4] *= 2
    a[0, :5] = a[1, 5:10]
    b[AT] = Y[:3]
    b[a > 1] = 0
    b[1:] += b[:-1].clone()
    c[:, AT] = 7.0
    c[AT, 1] = Y[0, :9]
    c[1].add_(c[0]).mul_(0.5)
    d[:, ::2] = 1
    d += d.flip(1)
    return a, b, c, d, a.t().contiguous()


def test_writes():
    check_native(written)


def overwritten_as_a_whole():
    """Results that are read, viewed and written in parts before and after they are overwritten."""
    a = X * 2 + 1
    view, before = a.t(), a[0] * 3
    a.relu_()
    after, turned = a.sum(), view + 1
    a.mul_(-1).add_(X)
    b = X + 1
    copy = b.clone()
    b[0] = 5
    b.neg_()
    c = Y - 0.5
    c[:, 1:3] *= 4
    smallest = c.min(1).values
    c.copy_(c * c + smallest[:, None])
    c[1] = c[0]
    d = torch.cat([X, X * 2]).relu_()
    e = (X @ X.t()).add_(1)
    e.copy_(e.t().clone())
    f = torch.zeros(3, 4).add_(torch.arange(4.0)).sqrt_()
    g = (X[:5, :5] * 2).sin_()
    h = X.to(torch.float64).mul_(0.1)
    i = X.to(torch.int32).add_(3)
    return a, before, after, turned, b, copy, c, smallest, d, e, f, g, h, i


def test_results_that_are_overwritten():
    check_native(overwritten_as_a_whole)


def test_results_that_are_overwritten_and_used_in_tier_0():
    def used():
        a = (X[:5, :5] * 2).sin_()
        inverse = torch.linalg.inv(a)
        return a.add_(1), inverse, a.sum()

    check_native(used, 1e-3, 1e-4, fallbacks=("inv",))


def test_results_that_are_overwritten_are_checked(monkeypatch):
    monkeypatch.setenv("RUSHLIGHT_CHECK", "1")
    run(overwritten_as_a_whole, "now")


def test_only_results_that_tier_0_uses_keep_their_memory():
    watch = Watch()

    def used():
        a, b = (X[:5, :5] * 2).sin_(), (X * 3).relu_()
        return torch.linalg.inv(a), a.add_(1), b

    run(used, "now", watch)
    (program,) = watch.programs
    assert len([c for c in program.calls if "copy" in str(c.label)]) == 2  # both of a's, none of b's


def test_an_error_before_leaves_what_was_there(monkeypatch):
    """An operation in place that comes after one that fails has not been done."""
    table, right = torch.arange(6.0), torch.tensor([0, 5])

    def steps(at):
        y = X * 2
        picked = table[at]
        y.relu_()
        return y, picked

    assert torch.equal(steps(right)[0], (X * 2).relu())
    for mode in ("now", "never"):
        monkeypatch.setattr(background, "MODE", mode)
        trie.forget()
        for _ in range(5):
            y, picked = steps(right)  # (y is alive, as below: another program otherwise)
            picked.sum().item()
        y, picked = steps(torch.tensor([0, 9]))
        with pytest.raises(IndexError):
            picked.sum().item()
        assert torch.equal(y, X * 2)


def test_only_the_error_is_told(monkeypatch):
    """Tier 0 computes again what had failed: what NumPy thinks of a division by zero on the way is not shown."""
    zero, table = torch.zeros(3), torch.arange(6.0)

    def steps(at):
        return table[:3] / zero, table[at].sum()

    for mode in ("now", "never"):
        monkeypatch.setattr(background, "MODE", mode)
        trie.forget()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(5):
                infinite, picked = steps(torch.tensor([0, 5]))  # (both are alive, as below)
                picked.item()
            infinite, picked = steps(torch.tensor([0, 9]))
            with pytest.raises(IndexError):
                picked.item()
            assert infinite[1:].isinf().all()


def test_what_is_overwritten_is_not_stored():
    """An operation in place costs what the operation does: one kernel, without a copy."""
    watch = Watch()
    run(lambda: (X * 2 + Y[0, 0]).relu_().add_(1), "now", watch)
    (program,) = watch.programs
    (call,) = program.calls
    assert "maximum" in str(call.label) and not program.arena


def test_many_dims_and_layouts():
    x = tensor(2, 3, 4, 5, 6)
    check_native(lambda: [
        x.permute(4, 2, 0, 3, 1) * 2, x.sum((1, 3)), x.transpose(1, 4).softmax(2),
        x[:, 1, ..., ::2] + 1,
        x.contiguous(memory_format=torch.channels_last_3d) + x, x.mean((0, 2, 4), True) - x,
    ])


def test_empty_and_single():
    e, one = tensor(0, 5), tensor()
    check_native(lambda: [e + 1, e.sum(), e.sum(1), e.t() * 2, one * 2, one.exp() + one, e @ e.t(),
                          one.reshape(1, 1).expand(3, 3) + e.sum(), tensor_of_ones().softmax(0)])


def tensor_of_ones():
    return torch.ones(1, 1, 1) + 0


def test_results_of_custom_functions_are_in_their_operators_memory():
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.saved_tensors[0]

    x = tensor(6, 37).requires_grad_()

    def steps():
        y = Exp.apply(x)
        (grad,) = torch.autograd.grad(y * y, x, Y, create_graph=True)
        return y, y + 1, grad, *torch.autograd.grad(grad, x, X)

    check_native(steps)


# ---------------------------------------------------------------- errors by value

WRONG = [
    (lambda i: F.embedding(i, X) * 2, [1, 2], [1, 12], IndexError, "index out of range"),
    (lambda i: X.gather(1, i.view(1, -1)) * 2, [1, 2], [1, 37], RuntimeError, "index 37 is out"),
    (lambda i: X[i] * 2, [1, -2], [1, -7], IndexError, "index -7 is out of bounds for dimension 0"),
    (lambda i: F.cross_entropy(X[:2] * 2, i), [1, 2], [1, 40], IndexError,
    "Target 40 is out of bounds"),
    (lambda i: (i * 3) // i, [1, 2], [0, 2], RuntimeError, "ZeroDivisionError"),
    (lambda i: F.one_hot(i + 0, 4) * 2, [1, 2], [1, 4], RuntimeError, "smaller than num_classes"),
    (lambda i: torch.cat([X, X.index_fill(0, i, 3.0)]), [1, 2], [9, 1], IndexError,
    "index 9 is out"),
    (lambda i: X.scatter_add(0, i.view(1, -1), Y) * 2, [1, 2], [9, 1], RuntimeError,
    "index 9 is out"),
]


@pytest.mark.parametrize(("f", "right", "wrong", "kind", "message"), WRONG,
                         ids=[w[-1] for w in WRONG])
def test_errors_are_the_operators_own(f, right, wrong, kind, message, monkeypatch):
    monkeypatch.setattr(background, "MODE", "now")
    trie.forget()
    for _ in range(6):
        wanted = f(torch.tensor(right)).sum().item()
    with pytest.raises(kind, match=message):
        f(torch.tensor(wrong)).sum().item()
    assert f(torch.tensor(right)).sum().item() == pytest.approx(wanted, rel=1e-5)


def test_what_was_computed_before_an_error_is_kept(monkeypatch):
    monkeypatch.setattr(background, "MODE", "now")
    trie.forget()

    def run(index):
        kept = X * 3
        picked = X[index] * 2
        return kept, picked, kept.sum() + picked.sum()

    for _ in range(6):
        run(torch.tensor([1, 2]))[2].item()
    kept, picked, total = run(torch.tensor([1, 9]))
    with pytest.raises(IndexError, match="index 9 is out"):
        total.item()
    np.testing.assert_array_equal(kept, X.numpy() * 3)
    for lost in (picked, total):
        with pytest.raises(RuntimeError, match="no value"):
            lost.tolist()


def test_masks_that_select_stay_in_tier_0():
    """How many elements they select is not known when a program is compiled."""
    check_native(lambda: torch.histc(X, 3, -1, 1), fallbacks=("histc",))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_of_a_part_of_a_row_are_kept_between_passes(dtype):
    """The standard deviation visits its row twice; what is the same along the last dim is kept for each place."""
    x = torch.linspace(0.1, 1.0, 33).reshape(33, 1).to(dtype)
    y = (torch.linspace(0.2, 2.0, 33).reshape(33, 1) + 1).to(dtype)

    def f():
        near = torch.lerp(y, (0.1 * x).exp(), 0.3).expand(2, 2, 33, 4)
        return torch.atan2(near, y * near.contiguous() + 1.0).std()

    check_native(f, rtol=1e-5 if dtype is torch.float32 else 2e-2)


def test_windows_that_are_taken_apart():
    F, x = torch.nn.functional, torch.linspace(-1, 2, 180).reshape(2, 3, 6, 5).sin().requires_grad_()
    columns = F.unfold(x, (2, 3), padding=1).detach()
    values, indices = F.max_pool2d(x.detach(), 2, return_indices=True)
    for f in (lambda: F.unfold(x, (2, 3), padding=1, stride=2), lambda: F.unfold(x, 2, dilation=2),
              lambda: F.fold(columns, (6, 5), (2, 3), padding=1), lambda: F.adaptive_max_pool2d(x, (3, 5)),
              lambda: torch.autograd.grad(F.unfold(x, (2, 3), padding=1).square().sum(), x),
              lambda: F.max_unpool2d(values, indices, 2, output_size=(6, 5))):
        check_native(f)


def test_a_number_that_fills_booleans():
    mask = torch.tensor([True, False])
    check_native(lambda: torch.nn.functional.pad(mask, (1, 2), value=2.0))


@pytest.mark.parametrize("name", ["asinh", "atanh", "sin", "exp"])
def test_one_number_of_half_precision(name):
    x = torch.tensor(-0.94).half()
    check_native(lambda: getattr(torch, name)(x), rtol=1e-3)
