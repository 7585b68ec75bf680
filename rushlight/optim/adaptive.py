"""Adagrad, RMSprop, Adadelta, Adamax, NAdam and RAdam."""

from __future__ import annotations

from typing import Any

import rushlight
from rushlight.ops.optimizer import (
    _adadelta_step,
    _adagrad_step,
    _adamax_step,
    _nadam_step,
    _radam_step,
    _rmsprop_step,
)
from rushlight.trace.tensor import Tensor

from .optimizer import KernelOptimizer, check, check_betas, check_foreach, check_lr, number

__all__ = ["Adadelta", "Adagrad", "Adamax", "NAdam", "RAdam", "RMSprop"]


def _zeros(p: Tensor) -> Tensor:
    return rushlight.zeros_like(p, requires_grad=False)


def _count() -> Tensor:
    return rushlight.zeros((), dtype=rushlight.float32)


class _Counted(KernelOptimizer):
    """An optimiser that counts each parameter's steps; subclasses give state and arguments."""

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("foreach", None)
            for name in ("maximize", "differentiable", "capturable"):
                group.setdefault(name, False)

    def _prepare(self, group: dict[str, Any], calls: list[tuple], counts: list[tuple]) -> None:
        options = self._options(group)
        for p in group["params"]:
            g = p.grad
            if g is None:
                continue
            own = self.state[p]
            if not own:
                own["step"] = _count()
                self._begin(p, own, group)
            array = self._counter(own)
            count = float(array) + 1.0
            counts.append((array, count))
            calls.append(self._arguments(p, g, own, count, options, counts))

    def _options(self, group: dict[str, Any]) -> Any:
        """What the group's calls share."""
        raise NotImplementedError

    def _begin(self, p: Tensor, own: dict[str, Any], group: dict[str, Any]) -> None:
        """Make a parameter's state."""
        raise NotImplementedError

    def _arguments(
        self, p: Tensor, g: Tensor, own: dict, count: float, options: Any, counts: list
    ) -> tuple:
        """The update's arguments for one parameter in its step `count`."""
        raise NotImplementedError


class Adagrad(_Counted):
    """`s += grad**2; p -= lr / (1 + (step - 1) lr_decay) * grad / (sqrt(s) + eps)`.

    s starts at `initial_accumulator_value`. Duchi et al., 2011.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Adagrad([p], lr=0.5)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.0031, -0.2925], requires_grad=True)
    """

    _update = _adagrad_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check(lr_decay >= 0.0, f"Invalid lr_decay value: {lr_decay}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check(
            initial_accumulator_value >= 0.0,
            f"Invalid initial_accumulator_value value: {initial_accumulator_value}",
        )
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check_foreach(foreach, fused, differentiable)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["step"] = _count()
                self._begin(p, self.state[p], group)

    def share_memory(self) -> None:
        """Move the sums to shared memory."""
        for own in self.state.values():
            own["sum"].share_memory_()

    def _begin(self, p: Tensor, own: dict[str, Any], group: dict[str, Any]) -> None:
        start = group["initial_accumulator_value"]
        if p.is_complex():
            start = complex(start, start)
        own["sum"] = rushlight.full_like(p, start, requires_grad=False)

    def _update_sparse(self, p: Tensor, grad: Any, own: dict, group: dict) -> None:
        if number(group["weight_decay"]):
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        own["step"] += 1
        grad = grad.coalesce()
        own["sum"].add_(grad * grad)
        spread = own["sum"].sparse_mask(grad).values().sqrt() + group["eps"]
        size = number(group["lr"]) / (1 + (own["step"].item() - 1) * group["lr_decay"])
        p.add_(grad._like(grad.values() / spread), alpha=-size)

    def _options(self, group: dict[str, Any]) -> Any:
        rest = (number(group["weight_decay"]), group["eps"], group["maximize"])
        return number(group["lr"]), group["lr_decay"], rest

    def _arguments(
        self, p: Tensor, g: Tensor, own: dict, count: float, options: Any, counts: list
    ) -> tuple:
        lr, decay, rest = options
        return (p, g, own["sum"], lr / (1 + (count - 1) * decay), *rest)


class RMSprop(_Counted):
    """`v = alpha v + (1 - alpha) grad**2; p -= lr * grad / (sqrt(v) + eps)`, or through momentum.

    `centered` subtracts the squared mean of the gradient from v. Tieleman and Hinton, 2012.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.RMSprop([p], lr=0.01)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.5499, -1.5198], requires_grad=True)
    """

    _update = _rmsprop_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check(momentum >= 0.0, f"Invalid momentum value: {momentum}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check(alpha >= 0.0, f"Invalid alpha value: {alpha}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _begin(self, p: Tensor, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["square_avg"] = _zeros(p)
        if group["momentum"] > 0:
            own["momentum_buffer"] = _zeros(p)
        if group["centered"]:
            own["grad_avg"] = _zeros(p)

    def _options(self, group: dict[str, Any]) -> Any:
        return (number(group["lr"]), group["alpha"], group["eps"], number(group["weight_decay"]),
                group["momentum"], group["maximize"])  # fmt: skip

    def _arguments(
        self, p: Tensor, g: Tensor, own: dict, count: float, options: Any, counts: list
    ) -> tuple:
        buffers = own.get("grad_avg"), own.get("momentum_buffer")
        return (p, g, own["square_avg"], *buffers, *options)


class Adadelta(_Counted):
    """`p -= lr d` with `d = sqrt(u + eps) / sqrt(v + eps) * grad`.

    u and v are running means of d**2 and grad**2 with the decay `rho`. Zeiler, 2012.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Adadelta([p], lr=10.0)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.6973, -1.6799], requires_grad=True)
    """

    _update = _adadelta_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(0.0 <= rho <= 1.0, f"Invalid rho value: {rho}")
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _begin(self, p: Tensor, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["square_avg"] = _zeros(p)
        own["acc_delta"] = _zeros(p)

    def _options(self, group: dict[str, Any]) -> Any:
        return (number(group["lr"]), group["rho"], group["eps"], number(group["weight_decay"]),
                group["maximize"])  # fmt: skip

    def _arguments(
        self, p: Tensor, g: Tensor, own: dict, count: float, options: Any, counts: list
    ) -> tuple:
        return (p, g, own["square_avg"], own["acc_delta"], *options)


class Adamax(_Counted):
    """`m = mean(grad); u = max(beta2 u, |grad| + eps); p -= lr / (1 - beta1**step) * m / u`.

    Kingma and Ba, 2014.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.Adamax([p], lr=0.1)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.2288, -1.1186], requires_grad=True)
    """

    _update = _adamax_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _begin(self, p: Tensor, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["exp_avg"] = _zeros(p)
        own["exp_inf"] = _zeros(p)

    def _options(self, group: dict[str, Any]) -> Any:
        beta1, beta2 = map(number, group["betas"])
        rest = (beta1, beta2, group["eps"], number(group["weight_decay"]), group["maximize"])
        return number(group["lr"]), beta1, rest

    def _arguments(
        self, p: Tensor, g: Tensor, own: dict, count: float, options: Any, counts: list
    ) -> tuple:
        lr, beta1, rest = options
        return (p, g, own["exp_avg"], own["exp_inf"], lr / (1 - beta1**count), *rest)


class NAdam(_Counted):
    """Adam with Nesterov momentum, whose weight follows a schedule (Dozat, 2016).

    `mu_t = beta1 (1 - 0.96**(t momentum_decay) / 2)`.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.NAdam([p], lr=0.1)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.3234, -1.2513], requires_grad=True)
    """

    _update = _nadam_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check(momentum_decay >= 0.0, f"Invalid momentum_decay value: {momentum_decay}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _begin(self, p: Tensor, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["mu_product"] = rushlight.ones((), dtype=rushlight.float32)
        own["exp_avg"] = _zeros(p)
        own["exp_avg_sq"] = _zeros(p)

    def _options(self, group: dict[str, Any]) -> Any:
        return group, number(group["lr"]), number(group["weight_decay"])

    def _arguments(
        self, p: Tensor, g: Tensor, own: dict, count: float, options: Any, counts: list
    ) -> tuple:
        group, lr, decay = options
        beta1, beta2 = map(number, group["betas"])
        shrink = 1.0
        if group["decoupled_weight_decay"]:
            shrink, decay = 1 - lr * decay, 0.0
        array = self._counter(own, "mu_product")
        mu = beta1 * (1.0 - 0.5 * (0.96 ** (count * group["momentum_decay"])))
        mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((count + 1) * group["momentum_decay"])))
        product = float(array * array.dtype.type(mu))
        counts.append((array, product))
        gradient_size = lr * (1.0 - mu) / (1.0 - product)
        moment_size = lr * mu_next / (1.0 - product * mu_next)
        return (p, g, own["exp_avg"], own["exp_avg_sq"], gradient_size, moment_size,
                1 - beta2**count, beta1, beta2, group["eps"], decay, shrink,
                group["maximize"])  # fmt: skip


class RAdam(_Counted):
    """Adam with a rectified adaptive rate in the first steps (Liu et al., 2019).

    Steps are plain momentum until the variance of the adaptive rate is defined.

    >>> p = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = torch.optim.RAdam([p], lr=0.1)
    >>> for _ in range(10):
    ...     optimizer.zero_grad(); (p ** 2).sum().backward(); optimizer.step()
    >>> p
    tensor([ 0.1875, -0.3892], requires_grad=True)
    """

    _update = _radam_step

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _begin(self, p: Tensor, own: dict[str, Any], group: dict[str, Any]) -> None:
        own["exp_avg"] = _zeros(p)
        own["exp_avg_sq"] = _zeros(p)

    def _options(self, group: dict[str, Any]) -> Any:
        return group, number(group["lr"]), number(group["weight_decay"])

    def _arguments(
        self, p: Tensor, g: Tensor, own: dict, count: float, options: Any, counts: list
    ) -> tuple:
        group, lr, decay = options
        beta1, beta2 = map(number, group["betas"])
        shrink = 1.0
        if group["decoupled_weight_decay"]:
            shrink, decay = 1 - lr * decay, 0.0
        correction2 = 1 - beta2**count
        longest = 2 / (1 - beta2) - 1  # the length of the simple average in the limit
        length = longest - 2 * count * (beta2**count) / correction2
        adapt = 0.0
        if length > 5.0:
            rectified = (length - 4) * (length - 2) * longest
            adapt = (rectified / ((longest - 4) * (longest - 2) * length)) ** 0.5
            adapt *= correction2**0.5
        return (p, g, own["exp_avg"], own["exp_avg_sq"], lr, 1 - beta1**count, adapt, beta1, beta2,
                group["eps"], decay, shrink, group["maximize"])  # fmt: skip
