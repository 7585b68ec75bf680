"""The trace: tensors, the trie of everything that was recorded, autograd, and flushing.

In: calls of operators (from `ops/`). Out: arrays, through the programs that `interpret/` runs. Read
`trie.py` first, then `record.py` (how an operation is recorded), `segments.py` (when it runs), `write.py`
(in-place), `engine.py` (gradients). `operator.py` defines what an operator is.
"""

from .modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .segments import after_fork, flush, step_end
from .step import record_step
from .tensor import (
    Parameter,
    Tensor,
    array,
    as_subclass,
    expose,
    meta_of,
    without_values,
    wrap,
    wrap_shared,
)

__all__ = [
    "Parameter",
    "Tensor",
    "after_fork",
    "array",
    "as_subclass",
    "enable_grad",
    "expose",
    "flush",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "meta_of",
    "no_grad",
    "record_step",
    "set_grad_enabled",
    "step_end",
    "without_values",
    "wrap",
    "wrap_shared",
]
