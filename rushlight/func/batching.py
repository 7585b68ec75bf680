"""vmap: a function of single examples as a function of batches.

The function is called for each example and the results are stacked. The calls after the first
follow a known path of the trace, and run as one program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..ops.shape import stack
from ..random import get_rng_state, set_rng_state
from ..trace.tensor import Tensor
from ..utils._pytree import tree_flatten, tree_unflatten


def _spread(dims: Any, tree: Any, what: str) -> tuple[list, list, Any]:
    """(leaves, the dim of each, structure): `dims` is a number, None or a tree that is a prefix."""
    leaves, spec = tree_flatten(tree)
    if isinstance(dims, int) or dims is None:
        return leaves, [dims] * len(leaves), spec
    if not isinstance(dims, (tuple, list, dict)) or len(dims) != (
        len(tree) if isinstance(tree, (tuple, list, dict)) else -1
    ):
        raise ValueError(
            f"vmap: {what} is not compatible with the structure of the {what[:-5]}puts: expected a "
            f"number, None or a matching container, but got {dims!r:.60}"
        )
    parts = list(tree.values()) if isinstance(tree, dict) else list(tree)
    given = [dims[k] for k in tree] if isinstance(dims, dict) else list(dims)
    found: list = []
    for d, part in zip(given, parts):
        found += _spread(d, part, what)[1]
    return leaves, found, spec


def _sizes(leaves: list, dims: list) -> int:
    """The number of examples, which all batched leaves must share."""
    sizes = []
    for x, d in zip(leaves, dims):
        if d is None:
            continue
        if not isinstance(x, Tensor):
            raise ValueError(
                f"vmap: Got in_dim={d} for an input, but the input is of type {type(x)}: only "
                "Tensors can be mapped over. Did you mean in_dim=None?"
            )
        if not x.ndim or not -x.ndim <= d < x.ndim:
            raise ValueError(
                f"vmap: Got in_dim={d} for some input, but that input is a Tensor of dimension "
                f"{x.ndim}, so expected in_dim to satisfy -{x.ndim} <= in_dim < {x.ndim}."
            )
        sizes.append(x.shape[d])
    if not sizes:
        raise ValueError(
            "vmap: at least one input must be mapped over: got no Tensors with an in_dim that is "
            "not None"
        )
    if len(set(sizes)) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return sizes[0]


def vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
    chunk_size: int | None = None,
) -> Callable:  # fmt: skip
    """`func` of single examples as a function of batches.

    in_dims: for each positional argument (a tree) the dimension of the examples, or None if all
    share it, as they do keyword arguments.
    out_dims: where the examples' dimension goes in each result. randomness: "same" gives each
    example the same random numbers, "different" its own. chunk_size: accepted.

    >>> torch.func.vmap(torch.dot)(torch.ones(3, 2), torch.arange(6.0).reshape(3, 2))
    tensor([1., 5., 9.])
    """
    if randomness not in ("error", "same", "different"):
        raise RuntimeError(
            "Only allowed values for randomness are 'error', 'different', or 'same'. Got "
            f"{randomness}"
        )
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        if not args:
            raise ValueError(
                f"vmap({getattr(func, '__name__', func)})(): got no inputs. Maybe you forgot to "
                "add inputs, or you are trying to vmap over a function with no inputs."
            )
        one = in_dims if isinstance(in_dims, (int, type(None))) else tuple(in_dims)
        leaves, dims, spec = _spread(one, tuple(args), "in_dims")
        count = _sizes(leaves, dims)
        if not count:
            raise ValueError("vmap: the mapped dimension has size 0: there is no example to call")

        state = get_rng_state() if randomness == "same" else None
        results, out_spec = [], None
        for i in range(count):
            if state is not None:
                set_rng_state(state)
            one_of = [x if d is None else x.select(d, i) for x, d in zip(leaves, dims)]
            parts, out_spec = tree_flatten(func(*tree_unflatten(one_of, spec), **kwargs))
            for p in parts:
                if not isinstance(p, Tensor):
                    raise ValueError(
                        f"vmap: `{getattr(func, '__name__', func)}` must only return Tensors, got "
                        f"type {type(p)}. Did you mean to set out_dims= to None for output?"
                    )
            results.append(parts)
        whole = tree_unflatten(results[0], out_spec)
        _, places, _ = _spread(out_dims, whole, "out_dims")
        stacked = [
            column[0] if d is None else stack(column, d)
            for column, d in zip(map(list, zip(*results)), places)
        ]
        return tree_unflatten(stacked, out_spec)

    return mapped


def stack_module_state(models: Sequence[Any]) -> tuple[dict, dict]:
    """(parameters, buffers) of several modules of one architecture, stacked by name: an ensemble.

    With `functional_call` inside of `vmap` all are called at once.
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or not any(m.training for m in models)):
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    kind = type(models[0])
    if not all(type(m) is kind for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")

    def gathered(tables: list[dict]) -> dict:
        return {name: stack([t[name].detach() for t in tables]) for name in tables[0]}

    parameters = gathered([dict(m.named_parameters()) for m in models])
    for name, p in parameters.items():
        p.requires_grad_(all(dict(m.named_parameters())[name].requires_grad for m in models))
    return parameters, gathered([dict(m.named_buffers()) for m in models])


