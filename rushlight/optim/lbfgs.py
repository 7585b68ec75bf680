"""L-BFGS: a quasi-Newton method for whole-batch problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rushlight
from rushlight.trace import enable_grad, no_grad
from rushlight.trace.tensor import Tensor

from .optimizer import Optimizer, check_lr, number

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal, 1980), a quasi-Newton method for whole-batch problems.

    One `step(closure)` makes up to `max_iter` iterations and evaluates the closure at most
    `max_eval` times. line_search_fn: None for steps of `lr`, or "strong_wolfe". There is one
    parameter group only (ValueError), and its state belongs to the first parameter.

    >>> p = torch.tensor([-1.0, 2.0], requires_grad=True)
    >>> optimizer = torch.optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - p[0]) ** 2 + 10 * (p[1] - p[0] ** 2) ** 2  # Rosenbrock's valley
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(3):
    ...     _ = optimizer.step(closure)
    >>> p
    tensor([1.0000, 1.0000], requires_grad=True)
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params: list[Tensor] = self.param_groups[0]["params"]

    def _flat_grad(self) -> Tensor:
        parts = []
        for p in self._params:
            grad = p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1)
            parts.append(rushlight.view_as_real(grad).reshape(-1) if grad.is_complex() else grad)
        return rushlight.cat(parts, 0)

    def _move(self, t: Any, direction: Tensor) -> None:
        """`x += t * direction`."""
        offset = 0
        for p in self._params:
            if p.is_complex():
                p = rushlight.view_as_real(p)
            count = p.numel()
            p.add_(direction[offset : offset + count].view(p.shape), alpha=t)
            offset += count

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Iterate; `closure` computes the loss and its gradients anew, and returns it."""
        with no_grad():
            return self._iterate(closure)

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        lr = number(group["lr"])
        search = group["line_search_fn"]
        if search not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        tolerance_change, max_eval = group["tolerance_change"], group["max_eval"]

        def evaluate() -> Any:
            with enable_grad():
                return closure()

        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = evaluate()
        loss = float(first_loss)
        evaluations = 1
        state["func_evals"] += 1
        grad = self._flat_grad()
        if float(grad.abs().max()) <= group["tolerance_grad"]:
            return first_loss
        d, t = state.get("d"), state.get("t")
        memory = _Memory(state, group["history_size"])
        previous_grad, previous_loss = state.get("prev_flat_grad"), state.get("prev_loss")
        iteration = 0
        while iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d = grad.neg()
                memory.clear()
            else:
                memory.update(grad.sub(previous_grad), d.mul(t))
                d = memory.direction(grad)
            previous_grad = grad.clone()
            previous_loss = loss
            t = min(1.0, 1.0 / float(grad.abs().sum())) * lr if state["n_iter"] == 1 else lr
            slope = float(grad.dot(d))
            if slope > -tolerance_change:
                break
            used = 0
            if search is not None:
                start = [p.clone() for p in self._params]

                def at(size: float, start: Any = start, d: Any = d) -> tuple[float, Tensor]:
                    self._move(size, d)
                    value = float(evaluate())
                    gradient = self._flat_grad()
                    self._restore(start)
                    return value, gradient

                loss, grad, t, used = _strong_wolfe(at, t, d, loss, grad, slope)
                self._move(t, d)
                small = float(grad.abs().max()) <= group["tolerance_grad"]
            else:
                self._move(t, d)
                if iteration != group["max_iter"]:
                    loss = float(evaluate())
                    grad = self._flat_grad()
                    small = float(grad.abs().max()) <= group["tolerance_grad"]
                    used = 1
                else:
                    small = False
            evaluations += used
            state["func_evals"] += used
            if iteration == group["max_iter"] or evaluations >= max_eval or small:
                break
            if float(d.mul(t).abs().max()) <= tolerance_change:
                break
            if abs(loss - previous_loss) < tolerance_change:
                break
        state["d"] = d
        state["t"] = t
        memory.save(state)
        state["prev_flat_grad"] = previous_grad
        state["prev_loss"] = previous_loss
        return first_loss

    def _restore(self, values: list[Tensor]) -> None:
        for p, value in zip(self._params, values):
            p.copy_(value)


class _Memory:
    """The last changes of gradient (y) and position (s), and the two-loop recursion over them."""

    def __init__(self, state: dict, size: int) -> None:
        self.size = size
        self.y = state.get("old_dirs")
        self.s = state.get("old_stps")
        self.ro = state.get("ro")
        self.scale = state.get("H_diag")
        self.weights = state.setdefault("al", [None] * size)

    def clear(self) -> None:
        self.y, self.s, self.ro, self.scale = [], [], [], 1

    def save(self, state: dict) -> None:
        state["old_dirs"], state["old_stps"] = self.y, self.s
        state["ro"], state["H_diag"] = self.ro, self.scale

    def update(self, y: Tensor, s: Tensor) -> None:
        """Remember a change, unless the curvature along it is too small."""
        curvature = y.dot(s)
        if float(curvature) > 1e-10:
            if len(self.y) == self.size:
                for values in (self.y, self.s, self.ro):
                    values.pop(0)
            self.y.append(y)
            self.s.append(s)
            self.ro.append(1.0 / curvature)
            self.scale = curvature / y.dot(y)

    def direction(self, grad: Tensor) -> Tensor:
        """Minus the inverse Hessian's estimate times the gradient."""
        q = grad.neg()
        weights = self.weights
        for i in reversed(range(len(self.y))):
            weights[i] = self.s[i].dot(q) * self.ro[i]
            q = q - self.y[i] * weights[i]
        r = q * self.scale
        for i in range(len(self.y)):
            r = r + self.s[i] * (weights[i] - self.y[i].dot(r) * self.ro[i])
        return r


def _cubic(
    x1: float, f1: float, g1: float, x2: float, f2: float, g2: float, bounds: Any = None
) -> float:
    """The minimum of the cubic through two points with their slopes, within bounds."""
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = square**0.5
    if x1 <= x2:
        best = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        best = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(best, low), high)


def _strong_wolfe(
    at: Callable, t: float, d: Tensor, f: float, g: Tensor, slope: float,
    c1: float = 1e-4, c2: float = 0.9, tolerance: float = 1e-9, limit: int = 25,
) -> tuple[float, Tensor, float, int]:  # fmt: skip
    """A step size that meets the strong Wolfe conditions (Nocedal and Wright, algorithms 3.5, 3.6).

    `at(t)` gives value and gradient. Returns value, gradient, step size, evaluations.
    """
    largest = float(d.abs().max())
    g = g.clone()
    f_new, g_new = at(t)
    evaluations = 1
    slope_new = float(g_new.dot(d))
    t_old, f_old, g_old, slope_old = 0.0, f, g, slope
    done = False
    count = 0
    bracket: list[tuple] = []  # of (t, f, g, slope)
    while count < limit:
        new = (t, f_new, g_new, slope_new)
        old = (t_old, f_old, g_old, slope_old)
        if f_new > f + c1 * t * slope or (count > 1 and f_new >= f_old):
            bracket = [old, new]
            break
        if abs(slope_new) <= -c2 * slope:
            bracket = [new]
            done = True
            break
        if slope_new >= 0:
            bracket = [old, new]
            break
        low, high = t + 0.01 * (t - t_old), t * 10
        t_next = _cubic(t_old, f_old, slope_old, t, f_new, slope_new, (low, high))
        t_old, f_old, g_old, slope_old = t, f_new, g_new.clone(), slope_new
        t = t_next
        f_new, g_new = at(t)
        evaluations += 1
        slope_new = float(g_new.dot(d))
        count += 1
    if count == limit:
        bracket = [(0.0, f, g, slope), (t, f_new, g_new, slope_new)]
    slow = False
    low, high = (0, 1) if bracket[0][1] <= bracket[-1][1] else (1, 0)
    while not done and count < limit:
        width = abs(bracket[1][0] - bracket[0][0])
        if width * largest < tolerance:
            break
        (x1, f1, _, s1), (x2, f2, _, s2) = bracket
        t = _cubic(x1, f1, s1, x2, f2, s2)
        left, right = min(x1, x2), max(x1, x2)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # too close to an end
            if slow or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                slow = False
            else:
                slow = True
        else:
            slow = False
        f_new, g_new = at(t)
        evaluations += 1
        slope_new = float(g_new.dot(d))
        count += 1
        new = (t, f_new, g_new.clone(), slope_new)
        if f_new > f + c1 * t * slope or f_new >= bracket[low][1]:
            bracket[high] = new
            low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
        else:
            if abs(slope_new) <= -c2 * slope:
                done = True
            elif slope_new * (bracket[high][0] - bracket[low][0]) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = new
    best = bracket[low if len(bracket) > 1 else 0]
    return best[1], best[2], best[0], evaluations
