"""A context that PyTorch needs for indexing with batched tensors under vmap."""

from __future__ import annotations

from contextlib import nullcontext


class TransformGetItemToIndex(nullcontext):
    """Does nothing: `x[i]` with a batched 0-dim tensor `i` works under vmap without it.

    >>> from rushlight._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
    >>> x = torch.tensor([1, 2, 3])
    >>> with TransformGetItemToIndex():
    ...     torch.vmap(lambda i: x[i])(torch.tensor([2, 0]))
    tensor([3, 1])
    """
