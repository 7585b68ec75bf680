"""torch.autograd.forward_ad: forward-mode differentiation with dual numbers.

Tangents are found when they are asked for, from the recorded operations (see `_products.Pushed`);
so a dual tensor requires grad here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..trace.modes import enable_grad
from ..trace.tensor import Tensor
from ._products import Pushed

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual",
           "unpack_dual"]  # fmt: skip


class UnpackedDualTensor(NamedTuple):
    """What a dual tensor is made of; tangent None if it does not move.

    >>> torch.autograd.forward_ad.UnpackedDualTensor(torch.ones(1), None)
    UnpackedDualTensor(primal=tensor([1.]), tangent=None)
    """

    primal: Tensor
    tangent: Tensor | None


_levels: list[list[tuple[Tensor, Tensor]]] = []  # for each level its (input, tangent) pairs


def enter_dual_level() -> int:
    """Begin a level: dual tensors live until it ends. Returns its number."""
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _levels.append([])
    return len(_levels) - 1


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level."""
    if not _levels or level not in (None, len(_levels) - 1):
        raise RuntimeError("Trying to exit a forward AD level that was not the last one created.")
    _levels.pop()


class dual_level:  # noqa: N801 - PyTorch's name
    """A context for forward-mode differentiation.

    >>> fwd = torch.autograd.forward_ad
    >>> with fwd.dual_level():
    ...     y = fwd.make_dual(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0])) ** 2
    ...     fwd.unpack_dual(y).tangent
    tensor([ 2., 40.])
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *error: Any) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A tensor that carries a tangent of its shape and dtype."""
    if not _levels:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    if not (tensor.is_floating_point() or tensor.is_complex()):
        raise ValueError(
            f"Expected primal to be floating point or complex, but got: {tensor.dtype}"
        )
    if not (tangent.is_floating_point() or tangent.is_complex()):
        raise ValueError(
            f"Expected tangent to be floating point or complex, but got: {tangent.dtype}"
        )
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            f"Expected tangent to have the size of the primal, {list(tensor.shape)}, but got "
            f"{list(tangent.shape)}"
        )
    with enable_grad():
        dual = tensor.clone() if tensor.requires_grad else tensor.detach().requires_grad_()
    _levels[-1].append((dual, tangent))
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(primal, tangent): the tangent is None if no dual tensor has an influence."""
    if not _levels:
        return UnpackedDualTensor(tensor, None)
    inputs, tangents = [p for p, _ in _levels[-1]], [t for _, t in _levels[-1]]
    for dual, tangent in _levels[-1]:
        if dual is tensor:
            return UnpackedDualTensor(tensor.detach(), tangent)
    if not tensor.requires_grad or not inputs:
        return UnpackedDualTensor(tensor, None)
    with enable_grad():
        push = Pushed([tensor], inputs)
        create = any(t.requires_grad for t in tangents)
        (tangent,) = push(tangents, create, lambda y: None)
    return UnpackedDualTensor(tensor.detach(), tangent)
