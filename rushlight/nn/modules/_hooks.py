"""Module hooks: the process-wide ones, and a module's call when any hook is set.

`Module.__call__` goes straight to `forward` when no hook exists; everything else is here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.trace import is_grad_enabled
from rushlight.trace.tensor import Tensor
from rushlight.utils.hooks import HookDict, RemovableHandle

# The process-wide hooks, by kind. `forward_kwargs` and `forward_always` hold ids only.
GLOBAL: dict[str, HookDict] = {
    kind: HookDict()
    for kind in (
        "forward_pre", "forward", "forward_kwargs", "forward_always", "backward_pre", "backward",
        "buffer", "module", "parameter",
    )
}  # fmt: skip
# True while a process-wide call hook exists; read by Module.__call__.
CALL_KINDS = tuple(GLOBAL[k] for k in ("forward_pre", "forward", "backward_pre", "backward"))


def add_hook(
    hooks: dict, hook: Callable, prepend: bool = False, extra: Any = ()
) -> RemovableHandle:
    """Register `hook`; `extra` dictionaries note its id as well. Returns the handle."""
    handle = RemovableHandle(hooks, extra_dict=list(extra))
    if prepend:
        later = dict(hooks)
        hooks.clear()
        hooks[handle.id] = hook
        hooks.update(later)
    else:
        hooks[handle.id] = hook
    for flags in extra:
        flags[handle.id] = True
    return handle


def register_module_forward_pre_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(module, args)` before the forward of every module of the process."""
    return add_hook(GLOBAL["forward_pre"], hook)


def register_module_forward_hook(
    hook: Callable, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, args, output)` after the forward of every module of the process."""
    extra = [GLOBAL["forward_kwargs"]] * with_kwargs + [GLOBAL["forward_always"]] * always_call
    return add_hook(GLOBAL["forward"], hook, extra=extra)


def register_module_full_backward_pre_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(module, grad_output)` before the backward of every module of the process."""
    return add_hook(GLOBAL["backward_pre"], hook)


def register_module_full_backward_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` after the backward of every module."""
    return add_hook(GLOBAL["backward"], hook)


register_module_backward_hook = register_module_full_backward_hook


def register_module_buffer_registration_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(module, name, buffer)` at each registration; what it returns is registered."""
    return add_hook(GLOBAL["buffer"], hook)


def register_module_module_registration_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(module, name, submodule)` at each registration; what it returns is registered."""
    return add_hook(GLOBAL["module"], hook)


def register_module_parameter_registration_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(module, name, parameter)` at each registration; what it returns is registered."""
    return add_hook(GLOBAL["parameter"], hook)


def registered(kind: str, module: Any, name: str, value: Any) -> Any:
    """`value` after the process-wide registration hooks of `kind`."""
    for hook in GLOBAL[kind].values():
        changed = hook(module, name, value)
        if changed is not None:
            value = changed
    return value


def call_with_hooks(module: Any, args: tuple, kwargs: dict) -> Any:
    """One call of a module: pre hooks, forward, hooks, and the tie to the backward hooks."""
    called: set[int] = set()
    try:
        return _call(module, args, kwargs, called)
    except Exception:
        _always_called(module, args, kwargs, called)
        raise


def _call(module: Any, args: tuple, kwargs: dict, called: set[int]) -> Any:
    backward = [*GLOBAL["backward"].values(), *module._backward_hooks.values()]
    backward_pre = [*GLOBAL["backward_pre"].values(), *module._backward_pre_hooks.values()]
    for key, hook in [*GLOBAL["forward_pre"].items(), *module._forward_pre_hooks.items()]:
        if key in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {changed}."
                    )
                args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    tie = BackwardTie(module, backward, backward_pre) if backward or backward_pre else None
    if tie is not None:
        args = tie.inputs(args)
    output = module.forward(*args, **kwargs)
    for key, hook in [*GLOBAL["forward"].items(), *module._forward_hooks.items()]:
        called.add(key)
        with_kwargs = key in module._forward_hooks_with_kwargs or key in GLOBAL["forward_kwargs"]
        changed = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
        if changed is not None:
            output = changed
    if tie is not None:
        output = tie.outputs(output)
    return output


def _always_called(module: Any, args: tuple, kwargs: dict, called: set[int]) -> None:
    """After an exception: the hooks that asked to be called in any case, with no result."""
    import warnings

    for key, hook in [*GLOBAL["forward"].items(), *module._forward_hooks.items()]:
        always = key in module._forward_hooks_always_called or key in GLOBAL["forward_always"]
        if not always or key in called:
            continue
        with_kwargs = key in module._forward_hooks_with_kwargs or key in GLOBAL["forward_kwargs"]
        try:
            hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)
        except Exception as error:
            warnings.warn(
                "module forward hook with ``always_call=True`` raised an exception that was "
                f"silenced as another error was raised in forward: {error!s}",
                stacklevel=2,
            )


class BackwardTie:
    """Ties one call's tensors to the module's backward hooks through identity functions.

    The identity on the outputs sees the gradients of the outputs first and runs the pre hooks; the
    one on the inputs then has the gradients of the inputs and runs the hooks.
    """

    def __init__(self, module: Any, hooks: list[Callable], pre_hooks: list[Callable]) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs: tuple | None = None
        self.input_count = 0
        self.input_positions: list[int] | None = None

    def inputs(self, args: tuple) -> tuple:
        """The arguments, routed through the identity if any of them needs a gradient."""
        self.input_count = len(args)
        positions, routed = _route(args, self._input_gradients)
        self.input_positions = positions
        return routed

    def outputs(self, output: Any) -> Any:
        """The module's result, routed through the identity."""
        single = isinstance(output, Tensor)
        if not single and not isinstance(output, (tuple, list)):
            return output
        parts = (output,) if single else tuple(output)
        self.output_count = len(parts)
        self.output_positions, routed = _route(parts, self._output_gradients)
        if single:
            return routed[0]
        if isinstance(output, tuple) and hasattr(output, "_fields"):
            return type(output)(*routed)
        return type(output)(routed)

    def _output_gradients(self, positions: list[int], grads: tuple) -> tuple:
        full = _spread(positions, grads, self.output_count)
        for hook in self.pre_hooks:
            changed = hook(self.module, full)
            if changed is not None:
                full = _checked(changed, full, "Backward pre hook", "grad_output")
        self.grad_outputs = full
        if self.input_positions is None:  # no input needs a gradient: nobody else will call them
            self._run((None,) * self.input_count)
        return tuple(full[i] for i in positions)

    def _input_gradients(self, positions: list[int], grads: tuple) -> tuple:
        full = self._run(_spread(positions, grads, self.input_count))
        return tuple(full[i] for i in positions)

    def _run(self, grad_inputs: tuple) -> tuple:
        for hook in self.hooks:
            changed = hook(self.module, grad_inputs, self.grad_outputs)
            if changed is not None:
                if self.input_positions is None:
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always "
                        "return None or None for all gradients."
                    )
                grad_inputs = _checked(changed, grad_inputs, "Backward hook", "grad_input")
        return grad_inputs


def _checked(changed: Any, old: tuple, who: str, what: str) -> tuple:
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != len(old):
        raise RuntimeError(
            f"{who} returned an invalid number of {what}, got {len(changed)}, but expected "
            f"{len(old)}"
        )
    return changed


def _spread(positions: list[int], values: tuple, count: int) -> tuple:
    full: list = [None] * count
    for position, value in zip(positions, values):
        full[position] = value
    return tuple(full)


def _route(values: tuple, callback: Callable) -> tuple[list[int] | None, tuple]:
    """`values` with its tensors sent through an identity whose backward calls `callback`."""
    positions = [i for i, v in enumerate(values) if isinstance(v, Tensor)]
    if not is_grad_enabled() or not any(values[i].requires_grad for i in positions):
        return None, values
    passed = _identity().apply(
        lambda grads: callback(positions, grads), *(values[i] for i in positions)
    )
    full = list(values)
    for position, value in zip(positions, passed if isinstance(passed, tuple) else (passed,)):
        full[position] = value
    return positions, tuple(full)


_IDENTITY: list = []


def _identity() -> Any:
    """The identity autograd function, made at first use: autograd sits above the trace."""
    if not _IDENTITY:
        from rushlight.autograd import Function

        class HookedIdentity(Function):
            """Passes tensors on; backward lets a callback see and change their gradients."""

            @staticmethod
            def forward(ctx: Any, callback: Callable, *tensors: Any) -> Any:
                ctx.callback = callback
                ctx.set_materialize_grads(False)
                return tuple(t.view_as(t) for t in tensors)

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                return (None, *ctx.callback(grads))

        _IDENTITY.append(HookedIdentity)
    return _IDENTITY[0]
