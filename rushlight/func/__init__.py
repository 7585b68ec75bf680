"""torch.func: transforms of functions: gradients, Jacobians, maps over batches.

A transform takes a function and gives a function; they nest. `gradients.py` differentiates by
autograd, `batching.py` maps over a dimension.
"""

from ..answers import finder as _finder
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
from .rearranging import debug_unwrap, functional_call, rearrange, replace_all_batch_norm_modules_

__all__ = [
    "debug_unwrap",
    "rearrange",
    "replace_all_batch_norm_modules_",
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

__getattr__ = _finder(__name__)
