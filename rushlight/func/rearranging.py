"""torch.func's helpers: `rearrange`, batch norms without running statistics."""

from __future__ import annotations

import math
import re
from typing import Any

from ..nn.modules.module import Module
from ..nn.utils import stateless
from ..trace.tensor import Tensor


def functional_call(module: Module, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: dict | None = None, *,
                    tie_weights: bool = True, strict: bool = False) -> Any:
    """`module(*args, **kwargs)` with the given tensors (a dict, or several) in place of those with these names.

    >>> layer = nn.Linear(2, 1)
    >>> torch.func.functional_call(layer, {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([10.0])}, torch.ones(1, 2))
    tensor([[13.]])
    """
    return stateless.functional_call(module, parameter_and_buffer_dicts, args, kwargs, tie_weights=tie_weights, strict=strict)


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """The tensor itself: transforms give functions ordinary tensors."""
    return tensor


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Let the batch norms in a module, in place, use each batch's own statistics; returns the module.

    >>> net = torch.func.replace_all_batch_norm_modules_(nn.Sequential(nn.BatchNorm1d(2)))
    >>> net[0].running_mean is None
    True
    """
    from ..nn.modules.batchnorm import _BatchNorm

    for m in root.modules():
        if isinstance(m, _BatchNorm) and m.track_running_stats:
            m.running_mean = m.running_var = m.num_batches_tracked = None
            m.track_running_stats = False
    return root


REST = ("...",)  # dimensions that are not named, each on its own


def _axes(side: str) -> list:
    """`"b (h w) ..."` as [["b"], ["h", "w"], REST]."""
    if side.count("(") != side.count(")") or re.search(r"\([^)]*\(", side):
        raise ValueError(f"rearrange: the parentheses of '{side.strip()}' do not match")
    groups = re.findall(r"\([^)]*\)|\.\.\.|\w+", side)
    return [REST if group == "..." else re.findall(r"\.\.\.|\w+", group) for group in groups]


def rearrange(tensor: Tensor | list | tuple, pattern: str, **axes_lengths: int) -> Tensor:
    """Name the axes of a tensor, and give them in another order, split or joined.

    pattern: "before -> after"; axes in parentheses are one dimension; `...` stands for the rest.
    axes_lengths: lengths where they do not follow. A list of tensors gets a first axis. Raises ValueError.

    >>> torch.func.rearrange(torch.zeros(2, 6, 5), "b (h w) c -> b c h w", w=3).shape
    torch.Size([2, 5, 2, 3])
    """
    if not isinstance(tensor, Tensor):
        from ..ops.shape import stack

        tensor = stack(list(tensor))
    if pattern.count("->") != 1:
        raise ValueError(f"rearrange: the pattern must have one '->', but got {pattern!r}")
    before, after = [_axes(side) for side in pattern.split("->")]
    named = [a for group in before for a in group]
    if sorted(named) != sorted([a for group in after for a in group]) or len({*named}) < len(named):
        raise ValueError(f"rearrange: both sides of {pattern!r} must name the same axes, each once")
    rest = tensor.dim() - sum(group != REST for group in before)
    if rest < 0 or (rest and REST not in before):
        raise ValueError(f"rearrange: {pattern!r} has {len(before)} dimensions, but the tensor has shape {tuple(tensor.shape)}")
    numbered = [f"...{i}" for i in range(rest)]

    def spread(groups: list) -> list[list[str]]:
        found = []
        for group in groups:
            if group == REST:
                found += [[a] for a in numbered]
            else:
                found.append([b for a in group for b in (numbered if a == "..." else [a])])
        return found

    before, after = spread(before), spread(after)
    lengths: dict[str, Any] = dict(axes_lengths)
    for group, size in zip(before, tensor.shape, strict=True):
        unknown = [a for a in group if a not in lengths and a != "1"]
        known = math.prod([lengths[a] for a in group if a in lengths])
        if len(unknown) > 1 or (size % known if unknown else size != known):
            raise ValueError(f"rearrange: a dimension of size {size} cannot be ({' '.join(group)}) with {axes_lengths}")
        if unknown:
            lengths[unknown[0]] = size // known
    order = [a for group in before for a in group]
    split = tensor.reshape([lengths.get(a, 1) for a in order])
    moved = split.permute([order.index(a) for group in after for a in group])
    return moved.reshape([math.prod([lengths.get(a, 1) for a in group]) for group in after])


__all__ = ["debug_unwrap", "functional_call", "rearrange", "replace_all_batch_norm_modules_"]
