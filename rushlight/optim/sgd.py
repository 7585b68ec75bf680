"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import rushlight
from rushlight.ops.optimizer import _sgd_step
from rushlight.trace.tensor import Tensor

from .optimizer import KernelOptimizer, check, check_foreach, check_lr, number

__all__ = ["SGD"]


class SGD(KernelOptimizer):
    """`p -= lr * b` with `b = momentum * b + (1 - dampening) * (grad + weight_decay * p)`.

    `nesterov` uses `grad + momentum * b` instead. Without momentum there is no state. Raises
    ValueError for negative rates, and for nesterov without momentum or with dampening. Sutskever et
    al., 2013.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.5)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([-0.0325,  0.0651], requires_grad=True)
    """

    _update = _sgd_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check(momentum >= 0.0, f"Invalid momentum value: {momentum}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_foreach(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("nesterov", False)
            group.setdefault("maximize", False)
            group.setdefault("foreach", None)
            group.setdefault("differentiable", False)
            group.setdefault("fused", False)

    def _update_sparse(self, p: Tensor, grad: Any, own: dict, group: dict) -> None:
        momentum = number(group["momentum"])
        if number(group["weight_decay"]):
            grad = grad.add(p, alpha=number(group["weight_decay"]))  # raises: a dense one
        if momentum:
            buffer = own.get("momentum_buffer")
            if buffer is None:
                buffer = grad.clone()
            else:
                buffer = (buffer * momentum).add(grad, alpha=1 - number(group["dampening"])).coalesce()
            own["momentum_buffer"] = buffer
            grad = grad.add(buffer, alpha=momentum) if group["nesterov"] else buffer
        p.add_(grad, alpha=-number(group["lr"]))

    def _prepare(self, group: dict[str, Any], calls: list[tuple], counts: list[tuple]) -> None:
        momentum = number(group["momentum"])
        rest = (number(group["lr"]), momentum, number(group["dampening"]),
                number(group["weight_decay"]), group["nesterov"], group["maximize"])  # fmt: skip
        if momentum == 0:
            for p in group["params"]:
                g = p.grad
                if g is not None:
                    calls.append((p, g, None, *rest, False))
            return
        state = self.state
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            own = state[p]
            buffer = own.get("momentum_buffer")
            first = buffer is None
            if first:
                buffer = own["momentum_buffer"] = rushlight.empty_like(p, requires_grad=False)
            calls.append((p, g, buffer, *rest, first))
