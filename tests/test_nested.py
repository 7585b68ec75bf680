"""Nested tensors against PyTorch: construction, functions and gradients in both layouts, padding, holes, errors."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
import torch

import rushlight
from rushlight.trace import flush

warnings.filterwarnings("ignore", message="The PyTorch API of nested tensors")
REPEATS = 3  # first time, known path, deferred program


class Space:
    """The same tensors in either framework; `x`, `y`, `h` are nested, of leaves."""

    def __init__(self, T, layout, grad=False, shift=0.0):
        def leaf(*shape, start=0.0):
            steps = T.arange(int(np.prod(shape))).double()
            made = (steps / len(steps) + start).sin() + shift * steps.cos()
            return made.reshape(shape).requires_grad_(grad)

        self.T, self.F, self.nested = T, T.nn.functional, T.nested
        self.layout = getattr(T, layout)
        self.parts = [leaf(2, 4), leaf(3, 4, start=1.0), leaf(1, 4, start=2.0)]
        self.heads = [leaf(2, 2, 4), leaf(3, 2, 4, start=0.5)]
        self.w, self.b, self.row, self.batch = leaf(5, 4), leaf(5), leaf(4), leaf(3, 1, 4)
        self.leaves = [*self.parts, *self.heads, self.w, self.b, self.row, self.batch]
        self.x = self.nest(self.parts)
        self.y = T.ones_like(self.x.detach()) * 0.4
        self.h = self.nest(self.heads)
        self.dense = leaf(3, 4, 2)
        self.index = T.nested.nested_tensor([T.tensor([0, 1]), T.tensor([2])], layout=self.layout)

    def nest(self, parts):
        return self.nested.as_nested_tensor(parts, layout=self.layout)

    def heads_first(self):
        """Queries of (batch, heads, ragged, features); contiguous in the strided layout."""
        t = self.h.transpose(1, 2)
        return t if self.layout is self.T.jagged else t.contiguous()


def parts(result):
    """A result as a flat list of dense tensors and other things."""
    if isinstance(result, (torch.Tensor, rushlight.Tensor)) and result.is_nested:
        return list(result.unbind())
    if isinstance(result, (tuple, list)):
        return [p for r in result for p in parts(r)]
    return [result]


def run(T, layout, expression, grad, shift=0.0):
    """The result, its dense parts, a weighted sum of these, and its gradients."""
    s = Space(T, layout, grad, shift)
    result = eval(expression, {"T": T, "s": s})
    made = parts(result)
    floats = [p for p in made if isinstance(p, T.Tensor) and p.is_floating_point()]
    total = sum((p * (T.arange(p.numel()).to(p.dtype).cos() + i + 1).reshape(p.shape)).sum() for i, p in enumerate(floats))
    grads = None
    if grad and floats and total.requires_grad:
        grads = T.autograd.grad(total, s.leaves, allow_unused=True)
    return result, made, total, grads


def slope(layout, expression, e=1e-6):
    """The derivative along `Space`'s shift, of differences."""
    high, low = [run(rushlight, layout, expression, False, shift)[2].item() for shift in (e, -e)]
    return (high - low) / (2 * e)


def numbers(t):
    return np.array(t.detach().tolist())


def assert_same(ours, theirs, where):
    assert len(ours) == len(theirs), where
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, torch.Tensor):
            assert (str(a.dtype), tuple(a.shape)) == (str(b.dtype), tuple(b.shape)), where
            np.testing.assert_allclose(numbers(a), numbers(b), 1e-6, 1e-9, err_msg=where)
        else:
            assert a == b or str(a) == str(b), f"{where}: {a!r}, not {b!r}"


# PyTorch refuses many gradients; these it gets wrong, or crashes
WRONG = {"s.x.softmax(1)", "s.h.softmax(1)", "s.x.split([1, 3], -1)"}


def check(layout, expression):
    """The same parts and gradients as PyTorch's; without gradients of PyTorch, those of differences."""
    theirs, their_parts, _, their_grads = run(torch, layout, expression, False)
    if expression not in WRONG:
        try:
            their_grads = run(torch, layout, expression, True)[3]
        except (RuntimeError, ValueError, AttributeError):
            pass
    for _ in range(REPEATS):
        flush()
        ours, our_parts, _, our_grads = run(rushlight, layout, expression, True)
        assert_same(our_parts, their_parts, expression)
        if isinstance(theirs, torch.Tensor):
            assert (ours.is_nested, ours.dim()) == (theirs.is_nested, theirs.dim())
            assert str(ours.layout) == str(theirs.layout)
        if their_grads is not None:
            for a, b in zip(our_grads, their_grads, strict=True):
                a, b = [np.zeros(1) if g is None else numbers(g) for g in (a, b)]
                np.testing.assert_allclose(a, b, 1e-5, 1e-7, err_msg=f"gradient of {expression}")
    if their_grads is None and our_grads is not None:
        flat = [numbers(g).reshape(-1) for g in our_grads if g is not None]
        along = sum(g @ np.cos(np.arange(len(g))) for g in flat)
        np.testing.assert_allclose(along, slope(layout, expression), 1e-4, 1e-5)


def lines(text):
    return [line for line in text.splitlines() if line]


BOTH = lines("""
s.x
s.x + s.x
s.x * s.y
s.x - s.y
s.x / (s.y + 4)
s.x + 1
s.x * 2.5
s.x / 2
s.x * T.tensor(2.0)
-s.x
s.x > 0.3
s.x.abs()
s.x.sin()
s.x.tanh()
s.x.relu()
s.F.relu(s.x)
s.F.gelu(s.x)
s.F.silu(s.x)
s.x.masked_fill(s.x > 0.5, 0.0)
s.x.clone()
s.x.to(T.float32)
s.x.float()
T.zeros_like(s.x)
T.ones_like(s.x)
s.x.detach().fill_(2.0)
s.x.detach().add_(1)
s.x.clone().mul_(2)
s.x.softmax(-1)
s.x.softmax(1)
s.F.linear(s.x, s.w)
s.F.linear(s.x, s.w, s.b)
s.F.layer_norm(s.x, (4,), s.row, s.row)
s.F.dropout(s.x, 0.5, False)
s.F.embedding(s.index, s.w)
s.F.scaled_dot_product_attention(s.heads_first(), s.heads_first(), s.heads_first())
s.x.transpose(1, 2)
s.h.transpose(1, 2)
s.h.transpose(2, 3)
s.h.transpose(1, 3)
s.x.mT
s.h.reshape(2, -1, 8)
s.h.view(2, -1, 2, 2, 2)
s.x.unsqueeze(-1)
s.x.unsqueeze(1)
s.x.unsqueeze(-1).squeeze(-1)
s.x.chunk(2, -1)
s.x.split([1, 3], -1)
T.cat([s.x, s.y], -1)
s.x.select(2, 1)
s.x.select(0, 1)
s.x[1]
s.x[1, 0]
s.x[..., 1]
s.x.sum(-1, keepdim=True)
s.x.unbind()
s.x.to_padded_tensor(0)
s.nested.to_padded_tensor(s.x, -1.0)
s.h.to_padded_tensor(2.0)
s.nested.to_padded_tensor(s.x, 0.0, (3, 5, 4))
T.bmm(s.x.transpose(1, 2), s.x)
(s.x.dim(), s.x.size(0), s.x.size(2), s.x.size(-1), s.x.numel(), s.x.is_nested, s.x.dtype, s.x.layout)
(s.x.is_contiguous(), s.x.element_size(), s.x.device)
s.x.is_same_size(s.y)
s.x.is_floating_point()
s.nested.nested_tensor([[1, 2], [3]], layout=s.layout)
s.nested.nested_tensor([[1, 2], [3]], layout=s.layout, dtype=T.float32)
s.nested.nested_tensor(s.parts, layout=s.layout, requires_grad=True).requires_grad
s.nest(s.dense)
s.nest(s.parts[:1])
(s.x * s.x).values()
""")

JAGGED = lines("""
s.h.transpose(1, 2).to_padded_tensor(0)
1 - s.x
s.x ** 2
s.x == s.y
~(s.x > 0)
(s.x > 0) & (s.y > 0.2)
s.x + s.row
s.row * s.x
s.x + s.row.reshape(1, 1, 4)
s.x * s.batch
s.batch - s.x
s.x + s.x.to_padded_tensor(0)
s.x - s.x.mean(1, keepdim=True)
s.x / s.x.sum(-1, keepdim=True)
T.where(s.x > 0.5, s.x, 0.0)
T.maximum(s.x, s.y)
s.x.exp()
s.x.sigmoid()
s.x.clamp(0.1, 0.5)
s.F.elu(s.x)
s.F.softplus(s.x)
s.x.log_softmax(-1)
s.h.softmax(1)
s.F.rms_norm(s.x, (4,))
s.F.layer_norm(s.h, (2, 4))
s.F.layer_norm(s.h.transpose(1, 2), (4,))
s.x.sum()
s.x.sum(1)
s.x.sum(1, keepdim=True)
s.x.sum(-1)
s.h.sum((2, 3))
s.x.sum((0, 1))
s.x.sum((0, 1, 2))
s.h.transpose(1, 2).sum(2)
s.h.transpose(1, 2).sum(1)
s.x.mean()
s.x.mean(1)
s.x.mean(-1)
s.h.transpose(1, 2).mean(2)
s.x.prod(1)
s.x.amax(1)
s.x.amin(-1)
s.x.max(1)
s.x.max(2)
s.x.argmax(1)
(s.x > 0.5).any(1)
(s.x > 0.1).all(-1)
s.x.max()
T.matmul(s.x, s.dense)
s.x @ s.w.t()
s.h.transpose(1, 2) @ s.w.t()
s.h.transpose(1, 2) @ s.w.t() @ s.w
s.w @ s.x.transpose(1, 2)
s.x.transpose(1, 2) @ s.x
T.matmul(s.dense.transpose(1, 2), s.x.transpose(1, 2))
s.h.permute(0, 2, 1, 3)
s.h.flatten(2)
s.h.flatten(2, 3)
s.x.unflatten(2, (2, 2))
s.x.unflatten(-1, (2, -1))
s.x.view(3, s.x.size(1), 2, 2)
s.x.expand(3, s.x.size(1), 4)
s.x.narrow(2, 1, 2)
s.x.chunk(2, 0)
s.x[..., 1:3]
s.x.values()
s.x.offsets()
s.x.lengths()
(len(s.x), s.x.size(1) == s.y.size(1), s.x.size(1) == s.h.size(1))
list(s.x)
s.nested.nested_tensor([s.row, s.b], layout=T.jagged)
s.nested.nested_tensor([s.w.t(), s.x[1][:, :2].expand(3, 2)[:1].expand(4, 2)], layout=T.jagged)
s.nested.nested_tensor_from_jagged(s.w, T.tensor([0, 2, 5]))
s.nested.nested_tensor_from_jagged(s.w, lengths=T.tensor([1, 4]))
s.nested.nested_tensor_from_jagged(s.w, T.tensor([0, 2, 5]), T.tensor([1, 2])) * 2
s.nested.nested_tensor_from_jagged(s.w, T.tensor([0, 2, 5]), T.tensor([1, 2])).contiguous().values()
s.nested.nested_tensor_from_jagged(s.w, T.tensor([0, 1, 4]), jagged_dim=2)
s.nested.narrow(s.dense, 1, T.tensor([0, 1, 2]), T.tensor([2, 3, 1]), layout=T.jagged)
s.nested.narrow(s.dense, 1, 1, 2, layout=T.jagged)
s.nested.narrow(s.dense, 1, 1, 2, layout=T.jagged).numel()
s.nested.narrow(s.dense, 0, 1, 2)
s.nested.masked_select(s.w, s.w > 0.5)
s.nested.masked_select(s.w, T.tensor([True, False, True, True]))
""")

STRIDED = lines("""
s.nested.nested_tensor([s.w, s.dense[0]]).to_padded_tensor(0)
s.nested.nested_tensor([s.w, s.dense[0]]) * 2
s.nested.nested_tensor([s.w, s.dense[0]]).to_padded_tensor(1.0, (2, 6, 5))
T.matmul(s.x, s.x.transpose(1, 2))
T.cat([s.x, s.y])
s.nested.nested_tensor([])
s.nested.nested_tensor([1, 2])
""")


@pytest.mark.parametrize("layout", ["jagged", "strided"])
@pytest.mark.parametrize("expression", BOTH)
def test_both_layouts(layout, expression):
    check(layout, expression)


@pytest.mark.parametrize("expression", JAGGED)
def test_jagged(expression):
    check("jagged", expression)


@pytest.mark.parametrize("expression", STRIDED)
def test_strided(expression):
    check("strided", expression)


@pytest.mark.parametrize("layout, expression", [
    *[(None, e) for e in lines("""
s.x + s.nested.as_nested_tensor(s.parts[:2], layout=s.layout)
s.x + s.parts[0]
s.x.unbind(1)
s.x.transpose(0, 1)
s.x.unsqueeze(0)
s.x.numpy()
s.x.cumsum(1)
s.x.sort()
T.allclose(s.x, s.x)
s.x.size(3)
s.x.nothing
s.nested.nested_tensor([s.w, s.b], layout=s.layout)
s.nested.nested_tensor([s.w], layout=T.sparse_coo)
s.nested.nested_tensor([s.index[0]], requires_grad=True, layout=s.layout)
s.nested.as_nested_tensor(3)
s.nested.as_nested_tensor([[1.0]])
s.nested.as_nested_tensor(s.row)
s.nested.as_nested_tensor(s.x, layout=T.strided if s.layout is T.jagged else T.jagged)
s.nested.to_padded_tensor(s.w, 0)
s.nested.nested_tensor_from_jagged(s.w)
s.nested.nested_tensor_from_jagged(s.w, T.tensor([0, 5]), jagged_dim=0)
s.nested.nested_tensor_from_jagged(s.w, T.tensor([0, 5]), jagged_dim=3)
s.nested.nested_tensor_from_jagged(s.w, T.tensor([0, 9])).unbind()
s.nested.nested_tensor_from_jagged(s.w, T.tensor([[0, 5]]))
s.nested.narrow(s.w, 1, 0, 2)
s.nested.narrow(s.w, 0, 0, 2, layout=T.jagged)
s.nested.narrow(s.w, 0, T.tensor([1]), 2)
s.nested.narrow(s.w, 1, "a", 2)
s.nested.narrow(s.w, 1, 0, 2, layout=T.sparse_coo)
""")],
    *[("jagged", e) for e in lines("""
s.x + s.nested.as_nested_tensor(s.parts, layout=T.jagged)
s.x + T.ones(1, 1, 1, 1)
s.x.sum(0)
s.h.sum((1, 2))
s.x.softmax(0)
s.x.chunk(2, 1)
s.x.split(1, 0)
s.x.narrow(1, 0, 1)
s.x.flatten(1, 2)
s.x.view(-1, 4)
s.x.squeeze(1)
s.x[:, 0]
s.x[1:]
T.cat([s.x, s.x])
s.x @ s.x
s.x @ s.x.transpose(1, 2)
s.nested.nested_tensor([], layout=T.jagged)
s.nested.nested_tensor([1, 2], layout=T.jagged)
s.nested.nested_tensor([s.w, s.w.float()], layout=T.jagged)
s.nested.nested_tensor([s.w, s.dense[0]], layout=T.jagged)
s.nested.narrow(s.dense, 1, 0, 2, layout=T.jagged).sum(1)
s.nested.narrow(s.dense, 1, 0, 2, layout=T.jagged).to_padded_tensor(0)
s.nested.narrow(s.dense, 1, 0, 2, layout=T.jagged).softmax(1)
s.nested.narrow(s.dense, 1, 2, 4, layout=T.jagged).unbind()
s.nested.masked_select(s.x, s.w > 0)
""")],
    *[("strided", e) for e in lines("""
s.x.shape
s.x.size(1)
s.x.offsets()
s.x.stride()
s.x + s.row
s.x.to_padded_tensor(0, (3, 2, 4))
s.x.narrow(2, 0, 1)
s.nested.nested_tensor(3)
s.nested.nested_tensor(s.w)
""")],
])  # fmt: skip
def test_errors(layout, expression):
    for kind in (layout,) if layout else ("jagged", "strided"):
        caught = []
        for T in (torch, rushlight):
            with pytest.raises(Exception) as e:  # noqa: PT011 - compared below
                run(T, kind, expression, False)
            caught.append(e)
        assert issubclass(caught[1].type, caught[0].type), f"{caught[1].value!r}, not {caught[0].value!r}"


@pytest.mark.parametrize("layout", ["jagged", "strided"])
def test_leaves_have_nested_gradients(layout):
    for _ in range(REPEATS):
        made = []
        for T in (torch, rushlight):
            s = Space(T, layout)
            x = T.nested.nested_tensor(s.parts, layout=s.layout, requires_grad=True)
            assert x.is_leaf and x.requires_grad and x.grad is None
            sum(c.square().sum() for c in (x * 2).unbind()).backward()
            assert x.grad.is_nested and x.grad.layout is s.layout
            made.append(parts(x.grad))
            a = s.parts[0].detach().requires_grad_()
            y = s.nest([a, *s.parts[1:]])
            assert y.requires_grad and not y.is_leaf
            y.backward(T.ones_like(y.detach()) * 3)
            made[-1].append(a.grad)
        assert_same(made[1], made[0], layout)


def test_attention_over_shorter_keys_and_causal():
    s = Space(rushlight, "jagged", True)
    T, F = s.T, s.F
    q, keys = s.h.transpose(1, 2), [p[:-1] for p in s.heads]
    k = s.nest(keys).transpose(1, 2)
    for causal in (False, True):
        made = F.scaled_dot_product_attention(q, k, k, is_causal=causal)
        for got, a, b in zip(made.unbind(), s.heads, keys, strict=True):
            a, b = a.transpose(0, 1), b.transpose(0, 1)
            want = F.scaled_dot_product_attention(a, b, b, is_causal=causal)
            np.testing.assert_allclose(numbers(got), numbers(want), 1e-6, 1e-9)
    grads = T.autograd.grad(made.sum(), s.heads)
    assert all(np.isfinite(numbers(g)).all() for g in grads)


def test_modules_train_on_jagged_batches():
    made = []
    for T in (torch, rushlight):
        s = Space(T, "jagged")
        net = T.nn.Sequential(T.nn.Linear(4, 8), T.nn.GELU(), T.nn.LayerNorm(8), T.nn.Dropout(0.0), T.nn.Linear(8, 2)).double()
        for i, p in enumerate(net.parameters()):
            p.data.copy_((T.arange(p.numel()).double() + i).sin().reshape(p.shape) / 3)
        step = T.optim.SGD(net.parameters(), 0.1)
        losses = []
        for _ in range(4):
            step.zero_grad()
            loss = sum(c.mean(0).square().sum() for c in net(s.x).unbind())
            loss.backward()
            step.step()
            losses.append(loss.item())
        made.append(losses)
    np.testing.assert_allclose(made[1], made[0], 1e-6)


@pytest.mark.parametrize("layout", ["jagged", "strided"])
def test_texts(layout):
    texts = []
    for T in (torch, rushlight):
        s = Space(T, layout)
        x = T.nested.nested_tensor(s.parts, layout=s.layout, dtype=T.float32)
        for t in (x, x.double(), x.detach().requires_grad_()):
            text = repr(t)
            texts.append(text.replace(f"{t.size(1)}", "j") if layout == "jagged" else text)
    assert texts[3:] == texts[:3]


@pytest.mark.parametrize("layout", ["jagged", "strided"])
def test_copies(layout):
    s = Space(rushlight, layout)
    x = s.nested.nested_tensor(s.parts, layout=s.layout, requires_grad=True)
    for y in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x)), s.T.nn.Parameter(x)):
        assert type(y) is type(x) and y.requires_grad and y.is_leaf and y.layout is x.layout
        assert_same(parts(y), [torch.tensor(p.tolist(), dtype=torch.float64) for p in s.parts], layout)


def test_an_elementwise_function_is_one_operation():
    s = Space(rushlight, "jagged")
    names = []

    class Names(rushlight.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            names.append((func.__name__, [type(a).__name__ for a in args]))
            return func(*args, **(kwargs or {}))

    with Names():
        s.x.exp()
    assert names == [("exp", ["NestedTensor"])] and s.x.exp().values().shape == s.x.values().shape


def test_what_is_missing_says_what_helps():
    s = Space(rushlight, "jagged")
    with pytest.raises(NotImplementedError, match=r"cumsum\(\).*unbind\(\).*to_padded_tensor\(\)"):
        s.x.cumsum(1)
    with pytest.raises(NotImplementedError, match="attn_mask"):
        q = s.heads_first()
        s.F.scaled_dot_product_attention(q, q, q, attn_mask=s.w)


def test_files_are_refused_with_advice():
    with pytest.raises(NotImplementedError, match=r"unbind\(\)"):
        rushlight.save(Space(rushlight, "jagged").x.detach(), io.BytesIO())


def test_empty_components():
    empty = rushlight.nested.nested_tensor([rushlight.ones(0, 3), rushlight.ones(0, 3)], layout=rushlight.jagged)
    assert empty.to_padded_tensor(2.0, (2, 1, 3)).tolist() == [[[2.0] * 3]] * 2 and empty.sum(1).tolist() == [[0.0] * 3] * 2
    assert [c.shape for c in (empty + 1).unbind()] == [(0, 3)] * 2


def test_forms_without_overrides():
    x = Space(rushlight, "jagged").x
    with rushlight.overrides.DisableTorchFunction():
        assert (x * 2).sum().item() == pytest.approx(2 * x.values().sum().item())
