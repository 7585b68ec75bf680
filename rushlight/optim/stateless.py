"""An optimiser on other parameters and states than its own, for a while."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..trace.tensor import Tensor
from .optimizer import Optimizer


@contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer, swapin_parameters: dict[str, Tensor], swapin_optim_state: dict[str, Any]
) -> Iterator[None]:
    """In the block, `optimizer` works on these parameters (in its own order) and on this `state_dict`.

    Tensors of the state are written to in place; the dictionary itself is not changed. Raises ValueError if
    the numbers of parameters differ.

    >>> w = torch.ones(1, requires_grad=True)
    >>> optimizer = torch.optim.SGD([w], lr=0.5)
    >>> other = torch.full((1,), 3.0, requires_grad=True)
    >>> other.grad = torch.ones(1)
    >>> with torch.optim.swap_in_optimizer_params_and_state(optimizer, {"w": other}, optimizer.state_dict()):
    ...     optimizer.step()
    >>> w.item(), other.item()
    (1.0, 2.5)
    """
    given, groups = list(swapin_parameters.values()), swapin_optim_state["param_groups"]
    counts = [len(g["params"]) for g in optimizer.param_groups]
    if len(given) != sum(counts) or counts != [len(g["params"]) for g in groups]:
        raise ValueError(
            f"swap_in_optimizer_params_and_state: {len(given)} parameters and groups of {[len(g['params']) for g in groups]} were "
            f"given, but the optimizer has groups of {counts}"
        )
    state, kept = optimizer.state, [dict(g) for g in optimizer.param_groups]
    swapped: defaultdict[Tensor, Any] = defaultdict(dict)
    try:
        for group, other in zip(optimizer.param_groups, groups, strict=True):
            mine, given = given[: len(group["params"])], given[len(group["params"]) :]
            group.update({**other, "params": mine})
            swapped.update({p: dict(swapin_optim_state["state"].get(i, {})) for p, i in zip(mine, other["params"], strict=True)})
        optimizer.state = swapped
        yield
    finally:
        for group, before in zip(optimizer.param_groups, kept, strict=True):
            group.clear()
            group.update(before)
        optimizer.state = state


__all__ = ["swap_in_optimizer_params_and_state"]
