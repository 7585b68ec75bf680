"""torch.autograd: differentiation, custom functions, gradient checks, anomaly detection.

The engine is `trace/engine.py`; here is what users call. Read `function.py` for custom functions.
"""

from ..trace import engine as _engine
from ..trace.graph import GradNode
from ..trace.modes import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from ..trace.tensor import Tensor
from . import forward_ad, graph, profiler
from .anomaly import detect_anomaly, set_detect_anomaly
from .function import Function
from .gradcheck import GradcheckError, gradcheck, gradgradcheck

Variable = Tensor


def _tuple(x):
    return (x,) if isinstance(x, Tensor) or x is None else tuple(x)


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, inputs=None):
    """Accumulate the gradients of `tensors` into the leaves they depend on.

    tensors: a tensor or a sequence. grad_tensors: their cotangents, None for one-element ones.
    Raises RuntimeError when nothing requires grad, shapes differ, or the graph was freed.

    >>> x = torch.ones(2, requires_grad=True)
    >>> torch.autograd.backward(x * 3, torch.tensor([1.0, 10.0]))
    >>> x.grad
    tensor([ 3., 30.])
    """
    tensors = _tuple(tensors)
    if not tensors:
        raise RuntimeError("backward() called with no tensors")
    _engine.backward(
        tensors,
        None if grad_tensors is None else _tuple(grad_tensors),
        retain_graph,
        create_graph,
        inputs,
    )


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
):
    """The gradients of `outputs` with respect to `inputs`, as a tuple; `grad` is not touched.

    create_graph: record the differentiation itself. allow_unused: None for inputs without
    influence instead of a RuntimeError; materialize_grads: zeros instead.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> first, = torch.autograd.grad(x ** 3, x, create_graph=True)
    >>> first.detach(), torch.autograd.grad(first, x)
    (tensor(27.), (tensor(18.),))
    """
    if is_grads_batched:
        raise NotImplementedError("grad(): is_grads_batched is not supported; loop over the batch")
    return _engine.grad(
        _tuple(outputs),
        _tuple(inputs),
        None if grad_outputs is None else _tuple(grad_outputs),
        retain_graph,
        create_graph,
        allow_unused if allow_unused is not None else materialize_grads,
        materialize_grads,
    )


__all__ = [
    "Function",
    "GradNode",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "profiler",
    "set_detect_anomaly",
    "set_grad_enabled",
]
