"""MaskedTensor against PyTorch: expressions with masked tensors, the gradients, and what is refused."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from oracle import check_program

import rushlight
from rushlight.trace import flush, hot, overrides, trie

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
D = np.arange(6.0, dtype="float32").reshape(2, 3) + 0.5
M = np.array([[True, False, True], [True, True, False]])


@pytest.fixture(autouse=True, scope="module")
def apart():
    """A masked tensor makes every call look for overrides; other tests' calls need not."""
    hooked = overrides.ACTIVE[0]
    yield
    if overrides.ACTIVE[0] != hooked:
        overrides.ACTIVE[0] = hooked
        hot.recompile()


def parts(T, x):
    """What can be compared: the data where it is specified, and the mask."""
    if isinstance(x, (list, tuple)):
        return type(x)([parts(T, y) for y in x])
    return ("masked", x.get_mask(), x.to_tensor(0)) if T.masked.is_masked_tensor(x) else x


def names(T, requires_grad=False):
    d, m = T.tensor(D), T.tensor(M)
    make = T.masked.masked_tensor
    return {
        "T": T, "M": m, "D": d, "W": T.ones(2, 3) * 2, "make": make, "as_masked": T.masked.as_masked_tensor,
        "x": make(d, m, requires_grad), "y": make(d + 1, m), "row": make(d[0], m[0]), "other": make(d, ~m),
        "whole": make(T.arange(6).reshape(2, 3), m), "truth": make(d > 2, m),
    }  # fmt: skip


def same(expression):
    check_program(lambda T: parts(T, eval(expression, names(T))), strides=False)


UNARY = ("abs acos acosh angle arcsin asinh arctan atanh ceil clamp(1,3) clip(1) conj_physical cos cosh deg2rad digamma erf "
         "erfc erfinv exp exp2 expm1 fix floor frac lgamma log log10 log1p log2 logit i0 isnan isfinite nan_to_num neg "
         "positive pow(2) rad2deg reciprocal round rsqrt sigmoid sign sgn signbit sin sinc sinh sqrt square tan tanh trunc "
         "float_power(2)").split()  # fmt: skip


@pytest.mark.parametrize("call", UNARY)
def test_unary(call):
    name, _, arguments = call.partition("(")
    arguments = arguments.rstrip(")")
    same(f"x.{name}({arguments})")
    same(f"T.{name}(x{', ' + arguments if arguments else ''})")
    if hasattr(torch.Tensor, name + "_") and name != "float_power":
        same(f"(x.{name}_({arguments}), x)")


@pytest.mark.parametrize("name", (
    "add atan2 arctan2 div divide floor_divide fmod logaddexp logaddexp2 mul nextafter remainder sub subtract true_divide "
    "eq ne le ge greater gt lt less maximum minimum fmax fmin not_equal").split())  # fmt: skip
def test_binary(name):
    same(f"x.{name}(y)")
    same(f"T.{name}(x, W)")
    same(f"T.{name}(W, x)")
    if hasattr(torch.Tensor, name + "_"):
        same(f"(x.{name}_(y), x, y)")
        same(f"x.{name}_(2)")


EXPRESSIONS = """
1 + x; 2 * x; 1 / x; x / 2; x // 2; x % 2; x ** 2; -x; +x; abs(x); ~whole; ~truth; whole & whole; whole | 3; whole ^ whole;
x < y; x < W; x > 3; x == y; x != 3; W + x; T.bitwise_left_shift(whole, 1); x + row; x * T.ones(4, 2, 3); x + whole; x + x.double()
x.mT; x.t(); x.H; x.chunk(2); x.narrow(0, 0, 1); x.flatten(); x.ravel(); x.unflatten(1, (1, 3)); x.swapaxes(0, 1); x.hsplit(3)
x.vsplit(2); x.tensor_split(2); x.split(1); x.view(3, 2); x.view(-1); x.view_as(W); x.reshape(3, 2); x.reshape_as(W)
x.expand(4, 2, 3); x.expand_as(W); x.broadcast_to((4, 2, 3)); x.unsqueeze(0); x.select(0, 1); x[0]; x[:, 1:]; x[0, 1]; x[None]
x[..., 0]; x[T.tensor([0, 1])]; x[M]; x[-1]; x[1, ::2]; x[[0, 1], [1, 2]]; x.unfold(1, 2, 1); x.transpose(0, 1)
T.nn.functional.unfold(x[None, None], (2, 2)); T.cat([x, y]); T.cat((x, y), dim=1); T.stack([x, y]); T.hstack([x, y])
T.vstack([row, row]); T.dstack([row, row]); T.column_stack([row, row]); T.atleast_2d(row); T.meshgrid(row, row); T.concat([x, y])
x.contiguous(); x.t().contiguous(); x.clone(); x.detach(); x.data; x.float(); x.double(); x.half(); x.bool(); x.int()
x.to(T.float64); x.to("cpu"); x.type(T.float64); x.cpu(); x.type_as(W); x.copy_(y); x.copy_(W); T.ones_like(x); x.to_dense()
x.sum(); x.sum(0); x.sum((0, 1)); x.sum(1, keepdim=True); x.sum(0, dtype=T.float64); T.sum(x); T.sum(x, dim=0); x.sum(-1)
whole.sum(); whole.sum(0); x.mean(); x.mean(0); x.amax(); x.amax(0); x.amin((0, 1)); x.argmax(); x.argmax(0); whole.argmin(0)
x.argmin(1, keepdim=True); x.prod(); x.prod(0); whole.prod(0); truth.all(); truth.all(0); x.all(); truth.all(-1, True); x.var()
x.var(0); x.std(); x.std(0, keepdim=True); other.sum(0); row[1:2].sum(); row[1:2].sum(0); other[:, 0].mean(); whole.amax(0)
x.softmax(1); T.softmax(x, 0); T.nn.functional.softmax(x, -1); row.softmax(0); T.isclose(x, y); x.real; x.isreal()
T.where(M, x, y); T.where(M, x, W); T.where(M, W, x); T.where(M, x, 0.0); T.where(M, x, other); T.where(M[0], x, y)
T.masked.sum(x); T.masked.sum(x, 0); T.masked.sum(x, 0, mask=M); T.masked.softmax(x, 1); T.masked.amax(x, 0)
x.get_data(); x.get_mask(); x.to_tensor(7); x.shape; x.dtype; x.ndim; x.numel(); len(x); x.layout; x.is_contiguous()
x.requires_grad; x.is_leaf; x[0, 0].item(); float(x[0, 0]); int(x[1, 0]); bool(truth[1, 1]); T.is_tensor(x)
T.masked.is_masked_tensor(x); T.masked.is_masked_tensor(D); as_masked(D, M); as_masked(D.half(), M); make(D[0, 0], M[0, 0])
make(D.clone().requires_grad_(), M).requires_grad; as_masked(D.clone().requires_grad_(), M).requires_grad
make(D, M, True).is_leaf; make(D, M, requires_grad=True).requires_grad
"""


@pytest.mark.parametrize("expression", [e.strip() for line in EXPRESSIONS.splitlines() for e in line.split(";") if e.strip()])
def test_expressions(expression):
    same(expression)


REFUSED = """
make(D, M[0]); make(D, M.float()); make(D, None); make(None, M); make(x, M); make(D, x); make(D.bfloat16(), M); make([1.0], [True])
make(D.to(T.complex64), M); make(D.to(T.uint8), M); make(D.t(), M); make(D, M.to_sparse()); make(D.long(), M, True)
as_masked(D, M[0]); as_masked(D, D); as_masked(x, M); x + other; x.add_(other); x.add(T.ones(2, 2)); x.view(7); x[5]; x.sum(5)
x.squeeze(); x.permute(1, 0); x.T; x.unbind(0); list(x); x.repeat(2, 1); x.movedim(0, 1); x.index_select(0, T.tensor([0]))
x.gather(0, T.tensor([[0]])); x.take(T.tensor([0])); x.diagonal(); x.flip(0); x.roll(1); x.sort(); x.topk(1); x.masked_fill(M, 0)
x.fill_(1); x.zero_(); T.zeros_like(x); T.full_like(x, 1); x.new_zeros(2); 2 ** x; x.pow(y); T.pow(2, x); x.add(y, alpha=2)
x.round(decimals=1); x.div(2, rounding_mode="floor"); T.exp(x, out=D); T.relu(x); T.nn.functional.gelu(x); x.logical_not()
x.lerp(y, 0.5); x.hypot(y); T.where(truth); T.where(M, x); truth.any(); x.max(0); x.median(); x.cumsum(0); x.logsumexp(0)
x.log_softmax(1); x @ W.t(); row.dot(row); T.cat([x, W]); T.stack([W, x]); T.nn.functional.pad(x, (1, 1)); T.equal(x, y)
T.nn.functional.mse_loss(x, y); x.backward(); x.tolist(); x.numpy(); x.item(); x[0, 1].item(); whole.mean(); x.bfloat16()
x.var(0, unbiased=False); x.__setitem__(0, 1.0); make(D, M, True).add_(1); T.nn.functional.linear(x, W); x.clamp(T.tensor(1.0))
"""


@pytest.mark.parametrize("expression", [e.strip() for line in REFUSED.splitlines() for e in line.split(";") if e.strip()])
def test_refused(expression):
    with pytest.raises(Exception):  # noqa: B017 - PyTorch says which
        eval(expression, names(torch))
    same(expression)


def test_errors_name_the_operation():
    space = names(rushlight)
    for expression, text in (
        ("x.flip(0)", r"flip\(\) is not implemented for MaskedTensor"), ("x + other", "add: the masks"),
        ("make(D, M[0])", "mask.dim"), ("x.copy_(other)", "copy_: the masks"), ("x.to_sparse()", "sparse layouts"), ("T.where(truth, x, y)", "condition"),
        ("make(D.to_sparse(), M.to_sparse())", "layout torch.sparse_coo is not supported"), ("T.cat([x, W])", "cat: all"),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError, NotImplementedError), match=text):
            eval(expression, space)


DIFFERENTIABLE = """
x.sum(); x.sum(0); x.mean(); x.mean(1); x.amax(); x.amin(0); x.prod(); x.prod(0); x.var(); x.std(); x.softmax(1) * x; x.exp()
x.view(-1); x.transpose(0, 1); x.expand(2, 2, 3); x.unfold(1, 2, 1); x.clone(); x.contiguous(); x.double(); x * W; x.pow(2)
x * x; x * y; T.cat([x, x]); T.stack([x, y]); (x * 2).sum() * 3; T.where(M, x, W); x.get_data(); x.to_tensor(0) * 3; x.log() / x
x.sqrt() * x.exp(); x.flatten(); x.double().mean(0, True)
"""


@pytest.mark.parametrize("expression", [e.strip() for line in DIFFERENTIABLE.splitlines() for e in line.split(";") if e.strip()])
def test_gradients(expression):
    def program(T):
        space = names(T, True)
        x = space["x"]
        result = eval(expression, space)
        (result if result.ndim == 0 else result.sum()).backward()
        yield parts(T, x.grad)
        result = eval(expression, space)
        (result if result.ndim == 0 else result.sum()).backward()  # adds to it
        yield parts(T, x.grad)

    check_program(program, strides=False)


def test_gradients_of_plain_tensors():
    """Those of as_masked_tensor's data are 0 where nothing is specified: also where NaNs were computed."""

    def program(T):
        def plain(g):
            return g.to_tensor(0) if T.masked.is_masked_tensor(g) else g

        d, m = T.tensor([[-1.0, 2.0], [3.0, -800.0]]), T.tensor([[False, True], [True, False]])
        x, w = d.clone().requires_grad_(), T.full((2, 2), 2.0, requires_grad=True)
        y = T.masked.as_masked_tensor(x, m)
        (y.sqrt() * w).sum().backward()
        yield from (plain(x.grad), plain(w.grad), y.is_leaf)

    check_program(program, strides=False)


def test_gradients_as_arguments():
    def program(T):
        for framework_grad in (T.autograd.grad, None):
            space = names(T, True)
            x, z = space["x"], space["x"] * space["x"]
            seed = space["make"](T.ones(2, 3), space["M"])
            if framework_grad:
                yield parts(T, framework_grad(z, x, seed))
                yield parts(T, framework_grad((x * 2).sum(), (x,)))
                continue
            z.backward(seed)
            yield parts(T, x.grad)
            T.autograd.backward([x * 2], [seed])
            yield parts(T, x.grad)
            x.grad = None
            yield x.grad
            x.register_hook(lambda g: g * 5)
            (x * 2).sum().backward()
            yield parts(T, x.grad)
            x.grad = seed
            yield parts(T, x.grad)

    check_program(program, strides=False)


def test_masked_gradient_across_a_flush():
    for eager in (False, True):
        trie.set_eager(eager)
        try:
            x = rushlight.masked.masked_tensor(rushlight.tensor(D), rushlight.tensor(M), True)
            y = x * x
            flush()
            repr(y)
            (y * x).to_tensor(0).sum().backward()  # a plain tensor's: saved values are masked tensors
        finally:
            trie.set_eager(False)
        np.testing.assert_allclose(x.grad.to_tensor(0).numpy(), np.where(M, 3 * D * D, 0), rtol=1e-6)


def test_results_share_nothing():
    def program(T):
        d, m = T.tensor(D), T.tensor(M)
        x = T.masked.masked_tensor(d, m)
        view, same, detached = x.view(-1), x + 0, x.detach()
        d.zero_(), m.zero_()
        view.add_(1), x[0].exp_(), detached.mul_(3)
        x.get_mask()[0] = False  # seen by x alone
        x.get_data().mul_(2)  # seen by x alone
        x += 1
        yield from (parts(T, y) for y in (x, view, same, detached))

    check_program(program, strides=False)


@pytest.mark.parametrize("expression", [
    "x", "x[0]", "x[0, 0]", "x[0, 1]", "whole * 1234567890", "truth", "x[None]", "row * 12345678.0", "whole[1, 1]", "-x[:, 1:]",
    "make(T.tensor([float('nan'), float('inf'), 1e10]), T.tensor([True, True, False]))", "other.half()", "make(D, M, True)",
])  # fmt: skip
def test_printing(expression):
    for show in (repr, str, "{}".format):
        assert show(eval(expression, names(rushlight))) == show(eval(expression, names(torch)))


def test_printing_of_nothing():
    assert repr(rushlight.masked.masked_tensor(rushlight.zeros(0), rushlight.zeros(0, dtype=rushlight.bool))) == (
        "MaskedTensor(\n  []\n)"
    )


def test_copies():
    def program(T):
        x = names(T, True)["x"]
        for made in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
            yield (type(made).__name__, made.requires_grad, parts(T, made))

    check_program(program, strides=False)


def test_further_than_pytorch():
    """Where PyTorch fails on its way."""
    a = rushlight.tensor([-1.0, 2.0], requires_grad=True)
    below, above = (rushlight.masked.as_masked_tensor(a, m) for m in (a < 0, a >= 0))
    rushlight.where(a < 0, below.exp() * 0, above.log()).sum().backward()
    assert a.grad.tolist() == [0.0, 0.5]
    whole = rushlight.masked.mean(names(rushlight)["x"], 0)
    np.testing.assert_allclose(whole.numpy(), [2, 4.5, 2.5])
    both = rushlight.masked.sum(names(rushlight)["x"], 0, mask=rushlight.tensor(M[0]))
    np.testing.assert_allclose(both.numpy(), [4, 0, 2.5])
    x, d = names(rushlight, True)["x"], D[M]
    np.testing.assert_allclose(x.norm().get_data().item(), np.linalg.norm(d), rtol=1e-6)
    np.testing.assert_allclose(x.var(correction=0).get_data().item(), d.var(), rtol=1e-6)
    np.testing.assert_allclose((1 - x).sum().get_data().item(), (1 - d).sum(), rtol=1e-6)
    x[rushlight.tensor([0, 0])].clamp(1, 3).sum().backward()
    np.testing.assert_allclose(x.grad.to_tensor(0).numpy(), [[0, 0, 2], [0, 0, 0]])


def test_data_that_requires_grad_is_warned_of():
    with pytest.warns(UserWarning, match="as_masked_tensor"):
        rushlight.masked.masked_tensor(rushlight.ones(1, requires_grad=True), rushlight.tensor([True]))


def test_programs_without_masked_tensors_do_not_pay():
    code = ("import rushlight as T; from rushlight.trace import overrides; T.masked.MaskedTensor, T.masked.sum(T.ones(2)); "
            "assert not overrides.ACTIVE[0]; T.masked.masked_tensor(T.ones(1), T.tensor([True])); assert overrides.ACTIVE[0]")
    subprocess.run([sys.executable, "-c", code], check=True)
