"""`Optimizer`: parameters in groups with options, their state, and saving it."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import rushlight
from rushlight.trace import enable_grad, expose, no_grad, record_step, step_end
from rushlight.trace.live import HOLDERS
from rushlight.trace.overrides import OTHERS
from rushlight.trace.tensor import Tensor
from rushlight.utils.hooks import HookDict, RemovableHandle

_global_pre_hooks = HookDict()
_global_post_hooks = HookDict()


class _Required:
    """Marks an option that every group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def register_optimizer_step_pre_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before every optimiser's step."""
    return _added(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after every optimiser's step."""
    return _added(_global_post_hooks, hook)


def _added(hooks: HookDict, hook: Callable, prepend: bool = False) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    later = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[handle.id] = hook
    hooks.update(later)
    return handle


_HOOKS = (
    "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks", "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)  # fmt: skip


def _with_hooks(step: Callable) -> Callable:
    """`step` with the hooks around it and the end of the training step after it."""

    @functools.wraps(step)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            return step(self, *args, **kwargs)  # a wrapper of an optimiser, never initialised itself
        if self._optimizer_step_pre_hooks or _global_pre_hooks:
            hooks = [*_global_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()]
            for hook in hooks:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            f"{step} must return None or a tuple of (new_args, new_kwargs), but "
                            f"got {changed}."
                        )
                    args, kwargs = changed
        result = step(self, *args, **kwargs)
        step_end()
        if self._optimizer_step_post_hooks or _global_post_hooks:
            hooks = [*self._optimizer_step_post_hooks.values(), *_global_post_hooks.values()]
            for hook in hooks:
                hook(self, args, kwargs)
        return result

    wrapped.hooked = True  # type: ignore[attr-defined]
    return wrapped


class Optimizer:
    """Base class of all optimisers.

    params: tensors, pairs of name and tensor, or dictionaries with `params` and options of their
    own. defaults: the options of groups that do not give them. A subclass defines `step`. Raises
    TypeError for what is no tensor; ValueError for tensors that are no leaves, for none at all, and
    for one in two groups.

    All have `maximize`, to go up instead of down. `foreach`, `fused`, `capturable` are accepted;
    there is one implementation. `differentiable` records steps for gradients through them.

    >>> first, second = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    >>> groups = [{"params": [first]}, {"params": [second], "lr": 1.0}]
    >>> optimizer = torch.optim.SGD(groups, lr=0.1)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.1, 1.0]
    """

    state: Any
    param_groups: list[dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None and not getattr(step, "hooked", False):
            cls.step = _with_hooks(step)  # type: ignore[attr-defined]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        for name in _HOOKS:
            setattr(self, name, HookDict())
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {params.type()}"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        self._counters: dict[int, tuple] = {}
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": params if isinstance(params, set) else groups}]
        for group in groups:
            self.add_param_group(group)

    def __getstate__(self) -> dict:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._counters = {}
        for name in _HOOKS:
            self.__dict__.setdefault(name, HookDict())
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"

    # -- groups --------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own: `{"params": [...], "lr": 0.1}`."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        else:
            params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names:
            if len(names) != len(params):
                raise ValueError(
                    "all optimizer params should be with/without names. Some param names are "
                    "missing"
                )
            params = [p[1] for p in params]
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    + type(param).__name__
                )
            if not self.defaults.get("differentiable") and not (
                param.is_leaf or param.retains_grad
            ):
                raise ValueError("can't optimize a non-leaf Tensor")
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    + name
                )
            param_group.setdefault(name, default)
        if len(params) != len({id(p) for p in params}):
            import warnings

            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; "
                "in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        taken = {id(p) for group in self.param_groups for p in group["params"]}
        if taken & {id(p) for p in params}:
            raise ValueError("some parameters appear in more than one parameter group")
        named = "param_names" in param_group
        if any(("param_names" in group) != named for group in self.param_groups):
            with_names = "with" if named else "without"
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{with_names} names to the optimizer"
            )
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = p.grad.detach()
                    p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters; `closure` evaluates the model again and returns the loss."""
        raise NotImplementedError

    @staticmethod
    def _evaluate(closure: Callable[[], Any] | None) -> Any:
        if closure is None:
            return None
        with enable_grad():
            return closure()

    def _counter(self, state: dict, key: str = "step") -> Any:
        """The array behind a state's 0-dim tensor, read and written without recording."""
        tensor = state[key]
        entry = self._counters.get(id(tensor))
        if entry is not None and entry[0] is tensor:
            return entry[1]
        if not isinstance(tensor, Tensor):  # as old checkpoints have it
            tensor = state[key] = rushlight.tensor(float(tensor), dtype=rushlight.float32)
        array = expose(tensor)
        if len(self._counters) > 1000 + 4 * len(self.state):
            self._counters.clear()
        self._counters[id(tensor)] = (tensor, array)
        return array

    # -- saving --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """`{"state": {index: state}, "param_groups": [options with parameter indices]}`."""
        for hook in self._optimizer_state_dict_pre_hooks.values():  # type: ignore[attr-defined]
            hook(self)
        index: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                index.setdefault(id(p), len(index))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [index[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {
            (index[id(key)] if isinstance(key, Tensor) else key): value
            for key, value in self.state.items()
        }
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():  # type: ignore[attr-defined]
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a `state_dict`; floating-point state gets its parameter's dtype.

        ValueError if the groups or their sizes differ.
        """
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():  # type: ignore[attr-defined]
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        groups = self.param_groups
        saved = deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        by_index = {i: p for g, s in zip(groups, saved) for i, p in zip(s["params"], g["params"])}
        state: Any = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in by_index:
                p = by_index[key]
                state[p] = _copied(p, value)
            else:
                state[key] = value
        for group, new in zip(groups, saved):
            new["params"] = group["params"]
            if "param_names" in group and "param_names" not in new:
                new["param_names"] = group["param_names"]
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._optimizer_load_state_dict_post_hooks.values():  # type: ignore[attr-defined]
            hook(self)

    # -- hooks ---------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before `step`; it may return both changed."""
        return _added(self._optimizer_step_pre_hooks, hook)  # type: ignore[attr-defined]

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after `step`."""
        return _added(self._optimizer_step_post_hooks, hook)  # type: ignore[attr-defined]

    def register_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict`."""
        return _added(self._optimizer_state_dict_pre_hooks, hook, prepend)  # type: ignore[attr-defined]

    def register_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after `state_dict`; it may return another."""
        return _added(self._optimizer_state_dict_post_hooks, hook, prepend)  # type: ignore[attr-defined]

    def register_load_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading; it may return another."""
        return _added(self._optimizer_load_state_dict_pre_hooks, hook, prepend)  # type: ignore[attr-defined]

    def register_load_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` after loading."""
        return _added(self._optimizer_load_state_dict_post_hooks, hook, prepend)  # type: ignore[attr-defined]


def _copied(param: Tensor, value: Any, key: str | None = None) -> Any:
    """Loaded state, in the parameter's dtype where it is floating-point (but for `step`)."""
    if isinstance(value, Tensor):
        if key != "step" and param.is_floating_point() and value.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value
    if isinstance(value, dict):
        return {k: _copied(param, v, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return type(value)(_copied(param, v) for v in value)  # type: ignore[call-arg]
    return value


class KernelOptimizer(Optimizer):
    """An optimiser whose whole step is one recorded list of calls of an update operator."""

    _update: Any = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters; `closure` evaluates the model again and returns the loss."""
        loss = None if closure is None else self._evaluate(closure)
        sparse = _sparse_gradients(self) if OTHERS else []
        calls: list[tuple] = []
        counts: list[tuple] = []
        for p, _, _ in sparse:  # the others are updated as usual first
            p.grad = None
        try:
            for group in self.param_groups:
                if group["differentiable"]:
                    raise NotImplementedError(
                        f"{type(self).__name__}: differentiable=True is not supported"
                    )
                self._prepare(group, calls, counts)
        finally:
            for p, grad, _ in sparse:
                p.grad = grad
        if calls:
            record_step(type(self)._update, calls)
        for array, count in counts:
            array[...] = count
        with no_grad():
            for p, grad, group in sparse:
                self._update_sparse(p, -grad if group["maximize"] else grad, self.state[p], group)
        return loss

    def _update_sparse(self, p: Tensor, grad: Any, own: dict, group: dict) -> None:
        """Update the rows of one parameter that a sparse gradient has; RuntimeError if unknown here."""
        raise no_sparse(self)

    def _prepare(self, group: dict[str, Any], calls: list[tuple], counts: list[tuple]) -> None:
        """Add the group's calls, and the counters to set once they have been made."""
        raise NotImplementedError


def _sparse_gradients(optimizer: Optimizer) -> list[tuple]:
    """(parameter, gradient, group) of all whose gradient is sparse."""
    return [
        (p, p.grad, group) for group in optimizer.param_groups for p in group["params"]
        if p.grad is not None and p.grad.is_sparse
    ]


def no_sparse(optimizer: Optimizer) -> RuntimeError:
    """The error of an optimiser that has no update for sparse gradients."""
    name = type(optimizer).__name__.replace("AdamW", "Adam")
    hint = ", please consider SparseAdam instead" if name == "Adam" else ""
    return RuntimeError(f"{name} does not support sparse gradients{hint}")


def check(condition: bool, message: str) -> None:
    """ValueError with `message` unless `condition`."""
    if not condition:
        raise ValueError(message)


def check_lr(lr: Any) -> None:
    """ValueError for a negative learning rate or a tensor with several."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    check(bool(lr >= 0.0), f"Invalid learning rate: {lr}")


def check_betas(betas: Any, foreach: Any = False) -> None:
    """ValueError unless both are in [0, 1); tensors must not be asked for with `foreach`."""
    if isinstance(betas[0], Tensor) != isinstance(betas[1], Tensor):
        raise ValueError("betas must be either both floats or both Tensors")
    for i in (0, 1):
        if isinstance(betas[i], Tensor):
            if foreach:
                raise ValueError(
                    f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True"
                )
            if betas[i].numel() != 1:
                raise ValueError(f"Tensor betas[{i}] must be 1-element")
        check(0.0 <= betas[i] < 1.0, f"Invalid beta parameter at index {i}: {betas[i]}")


def check_foreach(foreach: Any, fused: Any, differentiable: bool, lr: Any = 0.0) -> None:
    """Refuse the combinations of implementation choices that contradict each other."""
    if fused:
        if differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if isinstance(lr, Tensor) and foreach:
        raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")


def number(value: Any) -> float:
    """An option as a Python number; options may be one-element tensors."""
    return value.item() if isinstance(value, Tensor) else value


def _tensors(optimizer: Optimizer) -> Iterable[tuple[str, Any]]:
    """The optimiser's state, by the names that a table of memory shows."""
    for state in list(optimizer.__dict__.get("state", {}).values()):
        for name, x in state.items() if isinstance(state, dict) else ():
            if isinstance(x, Tensor):
                yield f"{type(optimizer).__name__}.{name}", x


HOLDERS[Optimizer] = _tensors
