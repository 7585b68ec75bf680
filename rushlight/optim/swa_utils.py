"""Averages of a model's weights over training: SWA and exponential moving averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import rushlight
from rushlight.nn import Module
from rushlight.trace import no_grad
from rushlight.trace.tensor import Tensor

from ._schedule_base import LRScheduler, _per_group
from .optimizer import Optimizer

__all__ = [
    "AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """`average = decay * average + (1 - decay) * current`."""
    _check_decay(decay)

    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """As `get_ema_avg_fn`, for lists of parameters, in place."""
    _check_decay(decay)

    def ema_update(ema_params: Any, current_params: Any, _: Any) -> None:
        with no_grad():
            for average, current in zip(ema_params, current_params):
                if average.is_floating_point() or average.is_complex():
                    average.lerp_(current, 1 - decay)
                else:
                    average.copy_(average * decay + current * (1 - decay))

    return ema_update


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def get_swa_avg_fn() -> Callable:
    """`average += (current - average) / (number averaged + 1)`."""

    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_swa_multi_avg_fn() -> Callable:
    """As `get_swa_avg_fn`, for lists of parameters, in place."""

    def swa_update(averaged_params: Any, current_params: Any, num_averaged: Any) -> None:
        with no_grad():
            for average, current in zip(averaged_params, current_params):
                average.add_((current - average) / (num_averaged + 1))

    return swa_update


class AveragedModel(Module):
    """A copy of a model that holds the average of its parameters; `update_parameters` adds to it.

    `avg_fn(average, current, count)` gives the new average, or `multi_avg_fn` writes lists of them;
    by default the plain mean (Izmailov et al., 2018). `use_buffers` averages buffers too, otherwise
    they are copied.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> average = torch.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 4.0):
    ...     _ = nn.init.constant_(model.weight, value)
    ...     average.update_parameters(model)
    >>> average.module.weight.item(), average.n_averaged
    (2.5, tensor(2))
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer(
            "n_averaged", rushlight.tensor(0, dtype=rushlight.int64, device=device)
        )
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def _tensors(self, model: Module) -> list[Tensor]:
        tensors = list(model.parameters())
        return tensors + list(model.buffers()) if self.use_buffers else tensors

    def update_parameters(self, model: Module) -> None:
        """Take the model's present parameters into the average."""
        averages, current = self._tensors(self.module), self._tensors(model)
        count = int(self.n_averaged)
        with no_grad():
            pairs = [(a, c.detach()) for a, c in zip(averages, current)]
            if count == 0:
                for average, value in pairs:
                    average.copy_(value)
            elif self.avg_fn is not None:
                for average, value in pairs:
                    average.copy_(self.avg_fn(average.detach(), value, count))
            else:
                update = self.multi_avg_fn or get_swa_multi_avg_fn()
                update([a.detach() for a, _ in pairs], [c for _, c in pairs], count)
            if not self.use_buffers:
                for average, value in zip(self.module.buffers(), model.buffers()):
                    average.detach().copy_(value.detach())
            self.n_averaged.add_(1)


def update_bn(loader: Iterable, model: Module, device: Any = None) -> None:
    """Set the running statistics of all batch norms by one pass over `loader`."""
    from rushlight.nn.modules.batchnorm import _BatchNorm

    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    was_training = model.training
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    model.train()
    with no_grad():
        for batch in loader:
            input = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(input if device is None else input.to(device))
    for m, momentum in zip(norms, momenta):
        m.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Anneals the rates to `swa_lr` within `anneal_epochs`, then keeps them.

    anneal_strategy: "cos" or "linear", otherwise ValueError.

    >>> optimizer, rates = torch.optim.SGD([torch.zeros(1)], lr=1.0), []
    >>> schedule = torch.optim.swa_utils.SWALR(optimizer, 0.5, 2, anneal_strategy="linear")
    >>> for _ in range(4):
    ...     rates += schedule.get_last_lr(); optimizer.step(); schedule.step()
    >>> rates
    [1.0, 0.75, 0.5, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for lr, group in zip(_per_group("swa_lr", swa_lr, optimizer.param_groups),
                             optimizer.param_groups):  # fmt: skip
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _weight(self, t: float) -> float:
        """How far the rates are on their way, for `t` from 0 to 1."""
        t = max(0.0, min(1.0, t))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list:
        self._warn_if_outside()
        step = self._step_count - 1
        length = max(1, self.anneal_epochs)
        groups = self.optimizer.param_groups
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._weight((step - 1) / length), self._weight(step / length)
        rates = []
        for group in groups:
            lr, goal = group["lr"], group["swa_lr"]
            start = lr if before == 1 else (lr - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates
