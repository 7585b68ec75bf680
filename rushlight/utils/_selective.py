"""Selective checkpoints: which results of a checkpointed function are kept for its recomputation.

Calls are seen as functions (`TorchFunctionMode`), and a policy is asked under the name of the operator of
`torch.ops.aten` that PyTorch would run for them on the CPU: `linear` is `aten.addmm.default`. In the
recomputation, a kept result takes the place of the one that is made again, whose gradient it has. So the
values of a call that is made again are needed by nobody, and a program leaves such calls out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ..autograd.function import Function
from ..ops.namespaces import OpOverload, namespace
from ..trace.overrides import TorchFunctionMode
from ..trace.tensor import Tensor
from ._pytree import tree_flatten, tree_unflatten

# functions that are one operator of another name in PyTorch
_OTHER_NAMES = {
    **dict.fromkeys("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split(), "convolution"),
    "scaled_dot_product_attention": "_scaled_dot_product_flash_attention_for_cpu",
    "softmax": "_softmax", "log_softmax": "_log_softmax", "layer_norm": "native_layer_norm",
    "batch_norm": "native_batch_norm", "group_norm": "native_group_norm", "dropout": "native_dropout",
    "max_pool2d": "max_pool2d_with_indices", "max_pool3d": "max_pool3d_with_indices",
    "adaptive_avg_pool2d": "_adaptive_avg_pool2d",
}
_WITH_TENSORS = frozenset("add sub mul div eq ne lt le gt ge remainder bitwise_and bitwise_or bitwise_xor".split())
_REDUCTIONS = {"sum": "dim_IntList", "mean": "dim", "max": "dim", "min": "dim"}
_PRODUCTS = {(1, 1): "dot", (2, 1): "mv", (1, 2): "mv", (2, 2): "mm"}
_AGAIN, _USED = object(), object()  # in the place of a result: it is made again; it was taken


def operator_of(func: Callable, args: tuple, kwargs: dict) -> OpOverload | None:
    """The operator of `torch.ops.aten` for a call; None for writes, which are always made again."""
    name, overload = func.__name__.strip("_"), "default"
    if kwargs.get("out") is not None or func.__name__.endswith("_") and not func.__name__.endswith("__"):
        return None
    if isinstance(func, OpOverload):
        return func
    second = args[1] if len(args) > 1 else kwargs.get("other")
    if name == "linear":
        bias = args[2] if len(args) > 2 else kwargs.get("bias")
        name = "mm" if bias is None else "addmm"
    elif name in ("matmul", "rmatmul"):
        ranks = args[0].ndim, second.ndim
        name = _PRODUCTS.get(ranks, "bmm" if min(ranks) > 1 and ranks[1] > 2 else "mm")
    elif name in _WITH_TENSORS:
        overload = "Tensor" if isinstance(second, Tensor) or name in ("add", "sub", "mul", "div") else "Scalar"
    elif name == "pow":
        overload = "Tensor_Tensor" if isinstance(second, Tensor) else "Tensor_Scalar"
    elif name in _REDUCTIONS and (second is not None or "dim" in kwargs):
        overload = _REDUCTIONS[name]
    return getattr(getattr(namespace("aten"), _OTHER_NAMES.get(name, name)), overload)


class _Kept(Function):
    """A value from before with the gradient of the result that was made again."""

    @staticmethod
    def forward(ctx, again, value):
        return value.view_as(value)

    @staticmethod
    def backward(ctx, g):
        return g, None


class Keeping(TorchFunctionMode):
    """The call: asks the policy about each operator's result, and keeps those that it says to save."""

    def __init__(self, policy: Callable, context: type, saves: Callable, ignored: set) -> None:
        self.policy, self.context, self.saves, self.ignored = policy, context, saves, ignored
        self.kept: dict[OpOverload, list] = defaultdict(list)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        op = operator_of(func, args, kwargs) if _has_tensors(result) else None
        if op is not None and op not in self.ignored:
            asked = self.policy(self.context(is_recompute=False, op_output=result), op, *args, **kwargs)
            self.kept[op].append(_detached(result) if self.saves(asked) else _AGAIN)
        return result


class Recalling(TorchFunctionMode):
    """The recomputation: what was kept is taken, in the order of the call."""

    def __init__(self, kept: dict[OpOverload, list], may_change: bool, ignored: set) -> None:
        self.kept, self.may_change, self.ignored = kept, may_change, ignored
        self.counts: dict[OpOverload, int] = defaultdict(int)

    def __enter__(self):
        self.counts.clear()
        return super().__enter__()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        op = operator_of(func, args, kwargs) if _has_tensors(result) else None
        if op is None or op in self.ignored:
            return result
        found, at = self.kept.get(op, ()), self.counts[op]
        self.counts[op] += 1
        if at >= len(found):
            raise RuntimeError(
                f"{op} number {at} of the recomputation was not in the call, which had {len(found)}: the checkpointed "
                "function must do the same each time"
            )
        kept = found[at]
        if kept is _USED:
            raise RuntimeError(
                "Trying to backward an extra time. You are only allowed to backward once on any region computed under "
                "selective activation checkpoint."
            )
        if kept is _AGAIN:
            return result
        found[at] = _USED
        made, spec = tree_flatten(result)
        return tree_unflatten([self._taken(y, *k) for y, k in zip(made, kept, strict=True)], spec)

    def _taken(self, again, value, version):
        if not isinstance(value, Tensor):
            return again
        if value._version != version and not self.may_change:
            raise RuntimeError("Tensor cached during selective activation checkpoint has been mutated")
        return _Kept.apply(again, value) if again.requires_grad else value


def _has_tensors(result: Any) -> bool:
    return isinstance(result, Tensor) or isinstance(result, tuple) and any(isinstance(y, Tensor) for y in result)


def _detached(result: Any) -> list[tuple[Any, int | None]]:
    """The values of a result, and the versions of their memory."""
    parts = [y.detach() if isinstance(y, Tensor) else y for y in tree_flatten(result)[0]]
    return [(y, y._version if isinstance(y, Tensor) else None) for y in parts]
