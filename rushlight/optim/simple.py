"""Optimisers written with ordinary tensor operations: ASGD, Rprop, Adafactor, Muon, SparseAdam."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import rushlight
from rushlight.trace import no_grad
from rushlight.trace.tensor import Tensor

from .optimizer import Optimizer, check, check_lr, no_sparse, number

__all__ = ["ASGD", "Adafactor", "Muon", "Rprop", "SparseAdam"]


class _Simple(Optimizer):
    """Calls `_update_one` for each parameter with a gradient, without recording gradients."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters; `closure` evaluates the model again and returns the loss."""
        loss = self._evaluate(closure)
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        if p.grad.is_sparse and type(self) is not SparseAdam:
                            raise no_sparse(self)
                        grad = -p.grad if group.get("maximize") else p.grad
                        self._update_one(p, grad, self.state[p], group)
        return loss

    def _update_one(self, p: Tensor, grad: Tensor, own: dict, group: dict) -> None:
        raise NotImplementedError


def _scalar(value: float) -> Tensor:
    return rushlight.tensor(float(value), dtype=rushlight.float32)


class ASGD(_Simple):
    """Averaged stochastic gradient descent (Polyak, 1992): state `ax` is the average.

    `lr` falls as `lr / (1 + lambd lr step)**alpha`; averaging begins at step `t0`.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.ASGD([p], lr=0.1)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.1074, -0.2147], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update_one(self, p: Tensor, grad: Tensor, own: dict, group: dict) -> None:
        lr, lambd = number(group["lr"]), group["lambd"]
        if not own:
            own["step"] = _scalar(0)
            own["eta"] = _scalar(lr)
            own["mu"] = _scalar(1)
            own["ax"] = rushlight.zeros_like(p, requires_grad=False)
        step, eta, mu = (self._counter(own, name) for name in ("step", "eta", "mu"))
        count, rate, weight = float(step) + 1, float(eta), float(mu)
        if group["weight_decay"] != 0:
            grad = grad.add(p, alpha=group["weight_decay"])
        p.mul_(1 - lambd * rate)
        p.add_(grad, alpha=-rate)
        if weight == 1:
            own["ax"].copy_(p)
        else:
            own["ax"].add_((p - own["ax"]).mul_(weight))
        step[...] = count
        eta[...] = lr / ((1 + lambd * lr * count) ** group["alpha"])
        mu[...] = 1 / max(1, count - group["t0"])


class Rprop(_Simple):
    """Step sizes of their own for all elements, from the gradient's signs (Riedmiller, 1993).

    A size is multiplied by `etas[1]` while the sign stays, by `etas[0]` when it changes, within
    `step_sizes`.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Rprop([p], lr=0.1)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([0.0369, 0.0799], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(0.0 < etas[0] < 1.0 < etas[1], f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update_one(self, p: Tensor, grad: Tensor, own: dict, group: dict) -> None:
        if not own:
            own["step"] = _scalar(0)
            own["prev"] = rushlight.zeros_like(p, requires_grad=False)
            lr = number(group["lr"])
            fill = complex(lr, lr) if p.is_complex() else lr
            own["step_size"] = rushlight.full_like(p, fill, requires_grad=False)
        smaller, larger = group["etas"]
        lowest, highest = group["step_sizes"]
        previous, size = own["prev"], own["step_size"]
        if p.is_complex():
            real = rushlight.view_as_real
            p, grad, previous, size = real(p), real(grad), real(previous), real(size)
        agree = grad * previous
        factor = rushlight.where(agree > 0, larger, rushlight.where(agree < 0, smaller, 1.0))
        size.mul_(factor.to(size.dtype)).clamp_(lowest, highest)
        grad = rushlight.where(agree < 0, rushlight.zeros_like(grad), grad)
        p.sub_(grad.sign() * size)
        previous.copy_(grad)
        step = self._counter(own)
        step[...] = float(step) + 1


class Adafactor(_Simple):
    """Adam's second moment from row and column means alone (Shazeer and Stern, 2018).

    beta2_decay: the mean's decay is `1 - step**beta2_decay`. eps: added to squares, and the least
    scale of a parameter. d: updates with a larger root mean square are scaled down to it.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Adafactor([p], lr=0.1)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.1789, -1.0142], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_lr(lr)
        check(beta2_decay <= 0.0, f"beta2_decay should be <= 0 but is: {beta2_decay}")
        check(eps[0] is None or eps[0] >= 0.0, f"epsilon1 should be >= 0 but is: {eps[0]}")
        check(eps[1] >= 0.0, f"epsilon2 should be >= 0 but is: {eps[1]}")
        check(d >= 1.0, f"Clipping threshold d should be >= 1 but is: {d}")
        check(weight_decay >= 0.0, f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _update_one(self, p: Tensor, grad: Tensor, own: dict, group: dict) -> None:
        matrix = grad.ndim > 1
        if not own:
            own["step"] = _scalar(0)
            if matrix:
                own["row_var"] = grad.new_zeros((*grad.shape[:-1], 1))
                own["col_var"] = grad.new_zeros((*grad.shape[:-2], 1, grad.shape[-1]))
            else:
                own["variance"] = rushlight.zeros_like(grad)
        step = self._counter(own)
        count = float(step) + 1
        step[...] = count
        eps1, eps2 = group["eps"]
        eps1 = rushlight.finfo(p.dtype).eps if eps1 is None else eps1
        weight = count ** group["beta2_decay"]  # 1 - beta2
        rate = min(number(group["lr"]), 1 / count**0.5)
        alpha = max(eps2, p.norm(2).item() / (p.numel() ** 0.5)) * rate
        if group["weight_decay"] != 0:
            p.mul_(1 - number(group["lr"]) * group["weight_decay"])
        if matrix:
            row, col = own["row_var"], own["col_var"]
            row.lerp_(grad.norm(dim=-1, keepdim=True).square() / grad.shape[-1], weight)
            col.lerp_(grad.norm(dim=-2, keepdim=True).square() / grad.shape[-2], weight)
            variance = (row @ col) / row.mean(dim=-2, keepdim=True).clamp(min=eps1)
        else:
            own["variance"].lerp_(grad.square(), weight)
            variance = own["variance"].clone()
        update = variance.clamp(min=eps1 * eps1).rsqrt() * grad
        scale = max(1.0, update.norm(2).item() / ((update.numel() ** 0.5) * group["d"]))
        p.add_(update, alpha=-alpha / scale)


class Muon(_Simple):
    """Momentum whose matrices are made orthogonal by Newton-Schulz steps (Jordan, 2024).

    params: matrices only, otherwise ValueError; use AdamW for the rest. adjust_lr_fn: "original"
    scales by `sqrt(max(1, rows / columns))`, "match_rms_adamw" by `0.2 sqrt(max(rows, columns))`.

    >>> p = torch.eye(2, requires_grad=True)
    >>> optimizer = torch.optim.Muon([p], lr=0.1, weight_decay=0.0)
    >>> (p ** 2).sum().backward()
    >>> optimizer.step()
    >>> p
    tensor([[0.8875, 0.0000],
            [0.0000, 0.8875]], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        check(lr >= 0.0, f"Learning rate should be >= 0 but is: {lr}")
        check(momentum >= 0.0, f"momentum should be >= 0 but is: {momentum}")
        check(weight_decay >= 0.0, f"weight decay should be >= 0 but is: {weight_decay}")
        check(
            adjust_lr_fn in (None, "original", "match_rms_adamw"),
            f"Adjust learning rate function {adjust_lr_fn} is not supported",
        )
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        "Muon only supports 2D parameters whereas we found a parameter with size: "
                        f"{p.shape}"
                    )

    def _update_one(self, p: Tensor, grad: Tensor, own: dict, group: dict) -> None:
        if not own:
            own["momentum_buffer"] = rushlight.zeros_like(grad)
        buffer, momentum = own["momentum_buffer"], group["momentum"]
        buffer.lerp_(grad, 1 - momentum)
        update = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
        update = _orthogonal(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p.shape
        ratio = math.sqrt(max(1, rows / columns))
        if group["adjust_lr_fn"] == "match_rms_adamw":
            ratio = 0.2 * math.sqrt(max(rows, columns))
        lr = number(group["lr"])
        p.mul_(1 - lr * group["weight_decay"])
        p.add_(update.to(p.dtype), alpha=-lr * ratio)


def _orthogonal(matrix: Tensor, coefficients: tuple, steps: int, eps: float) -> Tensor:
    """About U V^T of the singular value decomposition, by a quintic iteration in bfloat16."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t()
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.t()
        x = rushlight.addmm(x, rushlight.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


class SparseAdam(_Simple):
    """Adam for sparse gradients (`nn.Embedding(sparse=True)`), leaving rows without gradient alone.

    Moments of a row decay only when it gets a gradient. Raises RuntimeError for dense gradients.

    >>> table = nn.Embedding(3, 2, sparse=True)
    >>> optimizer = torch.optim.SparseAdam(table.parameters())
    >>> before = table.weight.detach().clone()
    >>> table(torch.tensor([1])).sum().backward()
    >>> optimizer.step()
    >>> (table.weight != before).any(1)
    tensor([False,  True, False])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps > 0.0, f"Invalid epsilon value: {eps}")
        for i in (0, 1):
            check(0.0 <= betas[i] < 1.0, f"Invalid beta parameter at index {i}: {betas[i]}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        params = [(i, j, p) for i, group in enumerate(self.param_groups)
                  for j, p in enumerate(group["params"])]
        at = [[i, j] for i, j, p in params if p.is_sparse]
        check(not at, f"Sparse params at indices {at}: SparseAdam requires dense parameter tensors")
        at = [[i, j] for i, j, p in params if p.is_complex()]
        check(not at, f"Complex params at indices {at}: SparseAdam does not support complex "
              "parameters")

    def _update_one(self, p: Tensor, grad: Tensor, own: dict, group: dict) -> None:
        if not grad.is_sparse:
            raise RuntimeError(
                "SparseAdam does not support dense gradients, please consider Adam instead"
            )
        if not own:
            own["step"] = 0
            own["exp_avg"] = rushlight.zeros_like(p, requires_grad=False)
            own["exp_avg_sq"] = rushlight.zeros_like(p, requires_grad=False)
        own["step"] += 1
        beta1, beta2 = group["betas"]
        grad = grad.coalesce()
        if not grad._nnz():
            return
        values, mean, square = grad.values(), own["exp_avg"], own["exp_avg_sq"]
        before, before_square = mean.sparse_mask(grad).values(), square.sparse_mask(grad).values()
        change = (values - before) * (1 - beta1)
        change_square = (values * values - before_square) * (1 - beta2)
        mean.add_(grad._like(change))
        square.add_(grad._like(change_square))
        spread = (before_square + change_square).sqrt() + group["eps"]
        size = number(group["lr"]) * math.sqrt(1 - beta2 ** own["step"])
        size /= 1 - beta1 ** own["step"]
        p.add_(grad._like((before + change) / spread), alpha=-size)
