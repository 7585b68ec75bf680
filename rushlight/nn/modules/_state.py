"""A module's state as a flat dictionary: `state_dict`, `load_state_dict` and their hooks."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from rushlight.trace import no_grad
from rushlight.trace.tensor import Parameter, Tensor
from rushlight.utils.hooks import RemovableHandle

from ._hooks import add_hook

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` found: names without a value, values without a name."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class StateMixin:
    """The part of `Module` that writes and reads state dictionaries."""

    _version: int = 1

    def get_extra_state(self) -> Any:
        """Extra state to store under `_extra_state`; override it with `set_extra_state`."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called: override "
            f"it in {type(self).__name__}."
        )

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave; override both."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called: override "
            f"it in {type(self).__name__}."
        )

    def state_dict(
        self: Any, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """All parameters and persistent buffers by dotted name, as an ordered dictionary.

        The tensors share the module's memory and are detached unless `keep_vars`. Keys start with
        `prefix`. The dictionary's `_metadata` holds each module's version.
        """
        if args:  # the positional form: destination, prefix, keep_vars
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and not keep_vars else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, metadata)
            if result is not None:
                if getattr(hook, "_from_public_api", False):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = result
        return destination

    def _save_to_state_dict(self: Any, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Write this module's own tensors (not its children's) into `destination`."""
        for name, tensor in self._parameters.items():
            if tensor is not None:
                destination[prefix + name] = tensor if keep_vars else tensor.detach()
        for name, tensor in self._buffers.items():
            if tensor is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not StateMixin.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def load_state_dict(
        self: Any, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy the values of `state_dict` into this module and its children.

        `assign=True` takes the given tensors themselves instead of copying. With `strict`, missing
        and unexpected names raise RuntimeError; wrong shapes always do. Returns both lists of
        names.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state_dict = OrderedDict(state_dict)
        if metadata is not None:
            state_dict._metadata = metadata  # type: ignore[attr-defined]

        def load(module: Any, state: Any, prefix: str) -> None:
            own = {} if metadata is None else metadata.get(prefix[:-1], {})
            if assign:
                own = dict(own, assign_to_params_buffers=True)
            module._load_from_state_dict(state, prefix, own, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    start = prefix + name + "."
                    load(child, {k: v for k, v in state.items() if k.startswith(start)}, start)
            incompatible = _IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, incompatible) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                        "expected to return new values, if incompatible_keys need to be modified, "
                        "it should be done inplace."
                    )

        load(self, state_dict, "")
        if strict:
            for kind, names in (("Unexpected", unexpected), ("Missing", missing)):
                if names:
                    listed = ", ".join(f'"{name}"' for name in names)
                    errors.insert(0, f"{kind} key(s) in state_dict: {listed}. ")
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(
                    type(self).__name__, "\n\t".join(errors)
                )
            )
        return _IncompatibleKeys(missing, unexpected)

    def _load_from_state_dict(
        self: Any,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Read this module's own tensors (not its children's) from `state_dict`."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(
                state_dict,
                prefix,
                local_metadata,
                strict,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
        assign = local_metadata.get("assign_to_params_buffers", False)
        buffers = {
            k: v for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set
        }
        local = {k: v for k, v in [*self._parameters.items(), *buffers.items()] if v is not None}
        for name, own in local.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            error = self._load_tensor(name, key, own, state_dict[key], assign)
            if error:
                error_msgs.append(error)
        key = prefix + EXTRA_STATE
        if type(self).set_extra_state is not StateMixin.set_extra_state:
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing_keys.append(key)
        elif strict and key in state_dict:
            unexpected_keys.append(key)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != prefix + EXTRA_STATE:
                    name, *rest = key[len(prefix) :].split(".")
                    if name not in (self._modules if rest else local):
                        unexpected_keys.append(key)

    def _load_tensor(self: Any, name: str, key: str, own: Any, value: Any, assign: bool) -> str:
        """Load one value; the error's text, or nothing."""
        from rushlight.nn.parameter import is_lazy

        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                f"object from checkpoint but received {type(value)}"
            )
        if is_lazy(own):
            if is_lazy(value):
                return ""
            if not assign:
                with no_grad():
                    own.materialize(value.shape)
        elif not is_lazy(value):
            if own.ndim == 0 and value.ndim == 1 and value.shape[0] == 1:
                value = value[0]  # checkpoints of old versions held scalars as one-element vectors
            if tuple(value.shape) != tuple(own.shape):
                return (
                    f"size mismatch for {key}: copying a param with shape {_size(value)} from "
                    f"checkpoint, the shape in current model is {_size(own)}."
                )
        if own.is_meta and not value.is_meta and not assign:
            warnings.warn(
                f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the current "
                "model, which is a no-op. (Did you mean to pass `assign=True`?)",
                stacklevel=4,
            )
        try:
            with no_grad():
                if not assign:
                    own.copy_(value)
                elif isinstance(own, Parameter):
                    if not isinstance(value, Parameter):
                        value = Parameter(value, requires_grad=own.requires_grad)
                    else:
                        value.requires_grad_(own.requires_grad)
                    setattr(self, name, value)
                else:
                    setattr(self, name, value)
        except Exception as error:
            return (
                f'While copying the parameter named "{key}", whose dimensions in the model are '
                f"{_size(own)} and whose dimensions in the checkpoint are {_size(value)}, an "
                f"exception occurred : {error.args}."
            )
        return ""

    def register_state_dict_pre_hook(self: Any, hook: Callable) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict` reads this module."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self: Any, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after `state_dict`; it edits in
        place.
        """
        hook._from_public_api = True  # type: ignore[attr-defined]
        return add_hook(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self: Any, hook: Callable) -> RemovableHandle:
        """As the post hook, but the hook may return another dictionary."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously "
                "registered via register_state_dict_post_hook"
            )
        return add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self: Any, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, ...)` before this module's values are loaded."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self: Any, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        if with_module:
            import functools

            return add_hook(self._load_state_dict_pre_hooks, functools.partial(hook, self))
        return add_hook(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self: Any, hook: Callable) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may edit the lists of names."""
        return add_hook(self._load_state_dict_post_hooks, hook)


def _size(tensor: Any) -> str:
    return f"torch.Size({list(tensor.shape)})"
