"""Random programs: PyTorch, the debugging mode and the traced mode must agree.

A program is a list of steps drawn by hypothesis: arithmetic, views, writes through views and bases,
detaching, reads in between, control flow on values, several backward passes. A failing example
prints as a program that can be pasted.
"""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import rushlight
from rushlight.trace import flush, trie

UNARY = ["tanh", "sigmoid", "neg", "exp_small", "square"]
BINARY = ["add", "sub", "mul"]
VIEWS = ["row", "transpose", "flatten", "slice", "alias", "every second", "expand", "strided", "data",
         "diagonal", "clone"]
WRITES = ["add_", "mul_", "copy_", "setitem", "zero_", "mask", "itself", "fill_"]

index = st.integers(0, 30)
step = st.one_of(
    st.tuples(st.just("unary"), st.sampled_from(UNARY), index),
    st.tuples(st.just("binary"), st.sampled_from(BINARY), index, index),
    st.tuples(st.just("scale"), st.sampled_from([0.5, -1.0, 2.0]), index),
    st.tuples(st.just("view"), st.sampled_from(VIEWS), index),
    st.tuples(st.just("write"), st.sampled_from(WRITES), index, index),
    st.tuples(st.just("no_grad_write"), index, index),
    st.tuples(st.just("read"), index),
    st.tuples(st.just("if"), index),
    st.tuples(st.just("detach"), index),
    st.tuples(st.just("numpy"), index, st.booleans()),
    st.tuples(st.just("second order"), index),
    st.tuples(st.just("forget"), index),
    st.tuples(st.just("backward"), index),
    st.tuples(st.just("update")),
)


def apply_unary(x, name):
    if name == "exp_small":
        return (x * 0.1).exp()
    if name == "square":
        return x * x * 0.1
    return getattr(x, name)()


def apply_view(x, name):
    if name == "row":
        return x[0] if x.ndim and x.shape[0] else x
    if name == "transpose":
        return x.transpose(0, -1) if x.ndim > 1 else x
    if name == "flatten":
        return x.reshape(-1)
    if name in ("slice", "every second"):
        return x[1:: 1 + (name != "slice")] if x.ndim and x.shape[0] > 1 else x
    if name == "expand":
        return x.unsqueeze(0).expand(2, *x.shape) if x.ndim < 3 else x
    if name == "strided":
        return x.as_strided((2,), (1,)) if x.numel() > 1 and x.is_contiguous() else x
    if name == "diagonal":
        return x.diagonal() if x.ndim == 2 else x
    if name in ("data", "clone"):
        return x.data if name == "data" else x.clone()
    return x.detach() if not x.requires_grad else x.view(x.shape) if x.is_contiguous() else x


# PyTorch takes a view for a leaf after its base, a constant then, was written with history.
REFUSED = "a leaf Variable that requires grad"


def gradient(p):
    """A leaf's gradient; None stands for zeros (what was overwritten passes none on here)."""
    return np.zeros(tuple(p.shape)) if p.grad is None else p.grad.numpy().copy()


def run(T, program):
    """Everything observable: values read, gradients, error types, final values."""
    seen, arrays, differentiated = [], [], False
    w = T.tensor(np.linspace(-1, 1, 6, dtype=np.float64).reshape(2, 3), requires_grad=True)
    v = T.tensor(np.linspace(0.5, 1.5, 3, dtype=np.float64), requires_grad=True)
    values = [w, v, T.ones(2, 3, dtype=T.float64)]

    def pick(i):
        return values[i % len(values)]

    for s in program:
        try:
            kind = s[0]
            if kind == "unary":
                values.append(apply_unary(pick(s[2]), s[1]))
            elif kind == "binary":
                values.append(getattr(pick(s[2]), s[1])(pick(s[3])))
            elif kind == "scale":
                values.append(pick(s[2]) * s[1] + 0.25)
            elif kind == "view":
                values.append(apply_view(pick(s[2]), s[1]))
            elif kind == "write":
                x, y = pick(s[2]), pick(s[3])
                if s[1] in ("zero_", "copy_", "fill_") and x.requires_grad and not x.is_leaf:
                    # PyTorch sends zeros to the history that was overwritten, and may find values
                    # that it saved there overwritten; here that history has ended
                    continue
                if s[1] == "zero_":
                    x.zero_()
                elif s[1] == "fill_":
                    x.fill_(0.75)
                elif s[1] == "setitem":
                    x[0] = y.mean()
                elif s[1] == "mask":
                    if 0 not in x.stride():  # PyTorch still allows it for expanded tensors
                        x[x > 0.3] = 0.125
                elif s[1] == "itself":
                    x.add_(x)
                else:
                    getattr(x, s[1])(y)
            elif kind == "no_grad_write":
                with T.no_grad():
                    pick(s[1]).add_(pick(s[2]).mean())
            elif kind == "read":
                seen.append(pick(s[1]).detach().numpy().round(9).copy())
            elif kind == "if":
                x = pick(s[1])
                # (no program sums to about 0.0123: which branch is taken does not hang on rounding)
                values.append(x * 2.0 if x.sum() > 0.0123 else x - 1.0)
            elif kind == "detach":
                values.append(pick(s[1]).detach())
            elif kind == "numpy":
                x = pick(s[1])
                if not x.requires_grad and not (x._base is not None and x._base.requires_grad):
                    arrays.append(x.numpy())
                    if s[2] and arrays[-1].ndim:
                        arrays[-1].flat[0] += 0.5
            elif kind == "second order":
                x = pick(s[1])
                grads = T.autograd.grad((x * x).sum(), [w, v], create_graph=True, allow_unused=True)
                values.append(sum([g.sum() for g in grads if g is not None], T.zeros(())))
            elif kind == "forget":
                if len(values) > 6:
                    values.pop(3 + s[1] % (len(values) - 3))
            elif kind == "backward":
                if differentiated and any(p[:2] == ("write", "setitem") for p in program):
                    continue  # after a write into a view PyTorch refuses a second one, though
                    # nothing was freed
                differentiated = True
                pick(s[1]).sum().backward()
            else:
                with T.no_grad():
                    for p in (w, v):
                        if p.grad is not None:
                            p -= 0.1 * p.grad
                            p.grad = None
        except (RuntimeError, IndexError) as e:
            if kind == "write" and REFUSED in str(e) and T is torch and x._base is not None:
                return None
            seen.append(type(e).__name__)
            if kind in ("backward", "second order"):
                break  # how far a failing backward gets is not defined
    else:
        for p in (w, v):
            seen.append(gradient(p))
    for x in values:
        seen.append((x.requires_grad, x.is_leaf, tuple(x.shape), tuple(x.stride())))
        seen.append(x.detach().numpy().copy())
    return seen


def same(a, b):
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-7, atol=1e-9, equal_nan=True)
    return type(a) is type(b) and a == b


@given(st.lists(step, min_size=3, max_size=14))
def test_three_modes_agree(program):
    with np.errstate(all="ignore"):
        expected = run(torch, program)
        assume(expected is not None)
        for mode in (True, False, False, False, False):
            trie.set_eager(mode) if mode else (trie.EAGER and trie.set_eager(False))
            flush()
            got = run(rushlight, program)
            assert len(got) == len(expected)
            for i, (a, b) in enumerate(zip(got, expected, strict=True)):
                assert same(a, b), f"{'eager' if mode else 'traced'}: item {i}: {a} is not {b}"
