"""torch.func: transforms of functions: gradients, Jacobians, maps over batches.

A transform takes a function and gives a function; they nest. `gradients.py` differentiates by
autograd, `batching.py` maps over a dimension.
"""

from ..nn.utils.stateless import functional_call
from .batching import stack_module_state, vmap
from .gradients import (
    functionalize,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    vjp,
)

__all__ = [
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
