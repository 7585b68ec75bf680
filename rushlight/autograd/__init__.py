"""torch.autograd: differentiation, custom functions, gradient checks, anomaly detection.

The engine is `trace/engine.py`; here is what users call. Read `function.py` for custom functions.
"""

import contextlib

from ..answers import finder as _finder
from ..trace import engine as _engine
from ..trace import overrides
from ..trace.graph import GradNode
from ..trace.modes import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from ..trace.operator import PUBLISHED
from ..trace.tensor import Tensor
from . import forward_ad, functional, graph, profiler
from .anomaly import detect_anomaly, set_detect_anomaly
from .function import Function
from .gradcheck import GradcheckError, gradcheck, gradgradcheck

Variable = Tensor


class _set_flag(contextlib.ContextDecorator):
    def __enter__(self):
        return None

    def __exit__(self, *error):
        pass



class set_multithreading_enabled(_set_flag):
    """Accepted: gradients are computed by the threads of the kernels. At once, and as a context manager.

    >>> with torch.autograd.set_multithreading_enabled(False):
    ...     pass
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()


class enforce_grad_layout_policy(_set_flag):
    """Accepted: a leaf's gradient has the leaf's layout. At once, and as a context manager or decorator.

    >>> with torch.autograd.enforce_grad_layout_policy(True):
    ...     pass
    """

    def __init__(self, enable: bool = True) -> None:
        super().__init__()


def _tuple(x):
    if isinstance(x, (Tensor, graph.GradientEdge)) or x is None:
        x = (x,)
    return tuple([t.tensor() if isinstance(t, graph.GradientEdge) else t for t in x])


def _seeds(given):
    """Cotangents as a tuple of plain tensors."""
    seeds = None if given is None else _tuple(given)
    return overrides.cotangents(seeds) if seeds and overrides.ACTIVE[0] else seeds


def backward(
    tensors,
    grad_tensors=None,
    retain_graph=None,
    create_graph=False,
    grad_variables=None,
    inputs=None,
):
    """Accumulate the gradients of `tensors` into the leaves they depend on.

    tensors: a tensor or a sequence. grad_tensors (once called grad_variables): their cotangents, None
    for one-element ones. inputs: accumulate into these tensors only (a dict's values).
    Raises RuntimeError when nothing requires grad, shapes differ, or the graph was freed.

    >>> x = torch.ones(2, requires_grad=True)
    >>> torch.autograd.backward(x * 3, torch.tensor([1.0, 10.0]))
    >>> x.grad
    tensor([ 3., 30.])
    """
    tensors = _tuple(tensors)
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError("`grad_tensors` and `grad_variables` are the same: pass only one")
        grad_tensors = grad_variables
    if tensors:
        _engine.backward(
            tensors,
            _seeds(grad_tensors),
            retain_graph,
            create_graph,
            inputs if inputs is None else _tuple(inputs.values() if isinstance(inputs, dict) else inputs),
        )


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    only_inputs=True,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
):
    """The gradients of `outputs` with respect to `inputs`, as a tuple; `grad` is not touched.

    inputs: a tensor, a sequence, or a dict, for which a dict of gradients is returned.
    create_graph: record the differentiation itself. allow_unused: None for inputs without
    influence instead of a RuntimeError; materialize_grads: zeros instead. is_grads_batched: the
    first dim of each of grad_outputs counts several cotangents, and that of the results their
    gradients. only_inputs: accepted; always True.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> first, = torch.autograd.grad(x ** 3, x, create_graph=True)
    >>> first.detach(), torch.autograd.grad(first, x)
    (tensor(27.), (tensor(18.),))
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    if isinstance(inputs, dict):
        made = grad(outputs, tuple(inputs.values()), grad_outputs, retain_graph, create_graph,
                    only_inputs, allow_unused, is_grads_batched, materialize_grads)
        return dict(zip(inputs, made, strict=True))
    outputs, inputs = _tuple(outputs), _tuple(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    seeds = _seeds(grad_outputs)

    def once(seeds, retain):
        made = _engine.grad(outputs, inputs, seeds, retain, create_graph,
                            allow_unused or materialize_grads, materialize_grads)
        return overrides.gradients(inputs, made) if overrides.ACTIVE[0] else made

    if not is_grads_batched:
        return once(seeds, retain_graph)
    rows = [once(row, True) for row in zip(*[g.unbind(0) for g in seeds], strict=True)]
    stack = PUBLISHED["torch"]["stack"]
    return tuple([None if g[0] is None else stack(g) for g in zip(*rows, strict=True)])


__all__ = [
    "Function",
    "GradNode",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
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

__getattr__ = _finder(__name__)
