"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

import rushlight
from rushlight.ops.optimizer import _adam_step
from rushlight.trace.tensor import Tensor

from .optimizer import KernelOptimizer, check, check_betas, check_foreach, check_lr, number

__all__ = ["Adam", "AdamW"]


class Adam(KernelOptimizer):
    """`p -= lr * m / (sqrt(v) + eps)` with running means m of the gradient and v of its square.

    Both means are divided by `1 - beta**step`. betas: their decay. `weight_decay` is added to the
    gradient, or with `decoupled_weight_decay` shrinks the parameter. amsgrad: use the largest v so
    far. Raises ValueError for negative rates or betas outside of [0, 1). Kingma and Ba, 2014;
    AMSGrad: Reddi et al., 2018.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Adam([p], lr=0.1)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.0762, -1.0246], requires_grad=True)
    """

    _update = _adam_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_foreach(foreach, None, differentiable, 0.0 if capturable else lr)
        check_lr(lr)
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check_betas(betas, foreach and not capturable)
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check_foreach(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name in ("amsgrad", "maximize", "capturable", "differentiable"):
                group.setdefault(name, False)
            group.setdefault("foreach", None)
            group.setdefault("fused", None)
            group.setdefault("decoupled_weight_decay", isinstance(self, AdamW))

    def _prepare(self, group: dict[str, Any], calls: list[tuple], counts: list[tuple]) -> None:
        beta1, beta2 = group["betas"]
        beta1, beta2 = number(beta1), number(beta2)
        lr, decay, eps = number(group["lr"]), number(group["weight_decay"]), group["eps"]
        amsgrad, maximize = group["amsgrad"], group["maximize"]
        shrink = 1.0
        if group["decoupled_weight_decay"]:
            shrink, decay = 1.0 - lr * decay, 0.0
        last = -1.0
        state, counters = self.state, self._counters
        step_size = root = 0.0
        top = None
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            own = state[p]
            if not own:
                self._begin(p, own, amsgrad)
            tensor = own["step"]
            entry = counters.get(id(tensor))
            array = entry[1] if entry is not None and entry[0] is tensor else self._counter(own)
            count = float(array) + 1.0
            counts.append((array, count))
            if count != last:
                last = count
                step_size = lr / (1.0 - beta1**count)
                root = (1.0 - beta2**count) ** 0.5
            if amsgrad:
                top = own["max_exp_avg_sq"]
            calls.append((p, g, own["exp_avg"], own["exp_avg_sq"], top, step_size, root, beta1,
                          beta2, eps, decay, shrink, maximize))  # fmt: skip

    @staticmethod
    def _begin(p: Tensor, own: dict[str, Any], amsgrad: bool) -> None:
        own["step"] = rushlight.zeros((), dtype=rushlight.float32)
        own["exp_avg"] = rushlight.zeros_like(p, requires_grad=False)
        own["exp_avg_sq"] = rushlight.zeros_like(p, requires_grad=False)
        if amsgrad:
            own["max_exp_avg_sq"] = rushlight.zeros_like(p, requires_grad=False)


class AdamW(Adam):
    """`Adam` whose weight decay shrinks the parameters: `p *= 1 - lr * weight_decay`.

    Loshchilov and Hutter, 2019.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.AdamW([p], lr=0.1, weight_decay=0.1)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.0336, -0.8829], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
