"""Gradient modes: nested, as decorators, on views and writes; anomaly detection; against PyTorch."""

from __future__ import annotations

import pytest
from oracle import check_program

import rushlight
from rushlight.trace import trie

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def leaf(T):
    return T.tensor([1.0, 2.0, 3.0], dtype=T.float64, requires_grad=True)


@program
def nested(T):
    x, made = leaf(T), []
    with T.no_grad():
        made.append((x * 2).requires_grad)
        with T.enable_grad():
            made.append((x * 2).requires_grad)
            with T.set_grad_enabled(False):
                made.append((x * 2).requires_grad)
        made.append(T.is_grad_enabled())
    return made, T.is_grad_enabled()


@program
def decorators(T):
    x = leaf(T)
    made = []
    for mode in (T.no_grad, T.no_grad(), T.inference_mode(), T.inference_mode, T.enable_grad()):
        def f(y):
            "documented"
            return (y * 2).requires_grad, T.is_grad_enabled()

        g = mode(f)
        with T.no_grad():
            made.append((g(x), g.__name__, g.__doc__))
    return made, T.is_grad_enabled()


@program
def decorated_class(T):
    @T.no_grad()
    class Maker:
        def __init__(self):
            self.enabled = T.is_grad_enabled()

    return Maker().enabled


@program
def generators(T):
    x = leaf(T)

    @T.no_grad()
    def numbers():
        sent = yield (x * 2).requires_grad
        yield sent, (x * 2).requires_grad

    g = numbers()
    return next(g), (x * 2).requires_grad, g.send(5), T.is_grad_enabled()


@program
def left_by_an_error(T):
    try:
        with T.no_grad():
            raise ValueError
    except ValueError:
        return T.is_grad_enabled()


@program
def used_twice(T):
    mode = T.no_grad()
    with mode:
        with mode:
            pass
        inner = T.is_grad_enabled()
    return inner, T.is_grad_enabled()


@program
def switched_at_once(T):
    x = leaf(T)
    T.set_grad_enabled(False)
    off = (x * 2).requires_grad
    T.set_grad_enabled(True)
    return off, (x * 2).requires_grad


@program
def inference(T):
    x = leaf(T)
    with T.inference_mode():
        made = [(x * 2).requires_grad, T.is_inference_mode_enabled(), T.is_grad_enabled()]
        with T.enable_grad():
            made.append((x * 2).requires_grad)
        with T.inference_mode(False):
            made += [(x * 2).requires_grad, T.is_inference_mode_enabled()]
    with T.no_grad(), T.inference_mode(False):
        made.append((x * 2).requires_grad)
    return made, T.is_inference_mode_enabled(), T.is_grad_enabled()


@program
def tensors_of_inference(T):
    x = leaf(T)
    with T.inference_mode():
        a, b = T.ones(3, dtype=T.float64), x * 2
        a.add_(1)
        made = [a.is_inference(), b.is_inference(), x.is_inference(), x.detach().is_inference()]
        view = a[1:]
    copied = a.clone()
    copied.add_(1)
    (x + a).sum().backward()
    made += [view.is_inference(), copied.is_inference(), (a + 1).is_inference(), a[0].is_inference()]
    return made, copied, x.grad


@program
def inference_tensor_saved_for_backward(T):
    with T.inference_mode():
        a = T.ones(3, dtype=T.float64)
    return (leaf(T) * a).sum()


@program
def inference_tensor_written_outside(T):
    with T.inference_mode():
        a = T.ones(3)
    a.add_(1)


@program
def inference_tensor_made_a_leaf(T):
    with T.inference_mode():
        a = T.ones(3)
    a.requires_grad_()


@program
def writes_without_gradients(T):
    x = leaf(T)
    y = x * 2
    with T.no_grad():
        y.mul_(3)
        x.add_(1)
    y.sum().backward()
    return x.grad, y, x.is_leaf


@program
def leaf_made_without_gradients(T):
    x = leaf(T)
    with T.no_grad():
        y = (x * 2).requires_grad_()
    y.sum().backward()
    return y.is_leaf, y.grad, x.grad


@program
def parameters_made_without_gradients(T):
    with T.no_grad():
        return T.nn.Linear(2, 2).weight.requires_grad, T.ones(2, requires_grad=True).requires_grad


@program
def flags(T):
    x = leaf(T)
    y = x * 2
    made = [y.requires_grad_().is_leaf, y.detach().requires_grad, y.detach().is_leaf]
    y.detach_()
    return made, y.requires_grad, y.is_leaf


@program
def flag_of_a_result(T):
    (leaf(T) * 2).requires_grad = False


@program
def detached_view(T):
    (leaf(T) * 2)[:2].detach_()


# ---------------------------------------------------------------- anomaly detection


@program
def nan_in_a_gradient(T):
    with T.autograd.detect_anomaly():
        (leaf(T) - 5).sqrt().sum().backward()


@program
def nan_is_not_looked_for(T):
    x = leaf(T)
    with T.autograd.detect_anomaly(check_nan=False):
        (x - 5).sqrt().sum().backward()
    return x.grad


@program
def anomaly_is_enabled(T):
    made = [T.is_anomaly_enabled()]
    with T.autograd.set_detect_anomaly(True, False):
        made += [T.is_anomaly_enabled(), T.is_anomaly_check_nan_enabled()]
    with T.autograd.set_detect_anomaly(False):
        made.append(T.is_anomaly_enabled())
    return made, T.is_anomaly_enabled()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    check_program(PROGRAMS[name])


@pytest.mark.parametrize("eager", [False, True])
def test_anomaly_names_function_output_and_line(eager):
    class Bad(rushlight.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * float("nan")

    trie.set_eager(eager)
    x = leaf(rushlight)
    for _ in range(3):
        y = (x - 5).sqrt()  # line A
        with pytest.raises(RuntimeError) as caught, rushlight.autograd.detect_anomaly():
            y.sum().backward()
        line = _line_of("# line A")
        assert "'SqrtBackward0' returned nan values in its 0th output" in str(caught.value)
        assert f"test_modes.py:{line}" in str(caught.value)
        z = Bad.apply(x)  # line B
        with pytest.raises(RuntimeError) as caught, rushlight.autograd.detect_anomaly():
            z.sum().backward()
        assert "'BadBackward' returned nan" in str(caught.value)
        assert f"test_modes.py:{_line_of('# line B')}" in str(caught.value)


def _line_of(mark):
    with open(__file__) as f:
        return next(i for i, line in enumerate(f, 1) if line.rstrip().endswith(mark))
