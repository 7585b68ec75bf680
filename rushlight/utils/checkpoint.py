"""Activation checkpointing: recompute a function in backward() instead of keeping its values.

The function becomes one custom Function of its tensor arguments and of the leaves that it reaches
by itself (a module's parameters). Those are found by recording it with gradients the first time;
nothing of that recording is kept.
"""

from __future__ import annotations

import contextlib
import enum
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..autograd.function import Function
from ..autograd.saved import without_hooks
from ..ops.namespaces import OpOverload, namespace
from ..random import fork_rng, get_rng_state, set_rng_state
from ..trace import engine
from ..trace.autocast import switch
from ..trace.modes import enable_grad, is_grad_enabled
from ..trace.segments import forget_saved, uncut
from ..trace.tensor import Tensor
from ..trace.trie import RECORDER
from ._python_dispatch import TorchDispatchMode  # noqa: F401 - a name of PyTorch's
from ._pytree import tree_map  # noqa: F401 - a name of PyTorch's
from ._selective import Keeping, Recalling


class CheckpointError(RuntimeError):
    """The recomputation made other results than the call did.

    >>> from rushlight.utils.checkpoint import checkpoint
    >>> sizes = [2, 3]
    >>> y = checkpoint(lambda x: x.expand(sizes.pop()), torch.ones(1, requires_grad=True), use_reentrant=False)
    >>> try:
    ...     y.sum().backward()
    ... except torch.utils.checkpoint.CheckpointError as error:
    ...     print(str(error)[:72])
    checkpoint: the recomputation made results of other shapes or dtypes: [(
    """


class _Gate(Function):
    """The identity; while the gate is shut, gradients stop here."""

    @staticmethod
    def forward(ctx, x, shut):
        ctx.shut = shut
        return x.view(x.shape)

    @staticmethod
    def backward(ctx, g):
        return (None if ctx.shut else g), None


class _Call:
    """A function with its arguments, and the state of the process that it was called in."""

    def __init__(self, function, args, kwargs, contexts, preserve, compare=True):
        self.compare = compare
        self.function, self.kwargs, self.preserve = function, kwargs, preserve
        self.first, self.later = contexts
        self.template = [None if isinstance(a, Tensor) else a for a in args]
        self.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        self.half = RECORDER.tr.autocast
        self.random = get_rng_state() if preserve else None

    def run(self, tensors):
        """The result for these tensors in place of the arguments'."""
        args = list(self.template)
        for i, t in zip(self.places, tensors, strict=True):
            args[i] = t
        with without_hooks():  # what is saved inside is not kept
            return self.function(*args, **self.kwargs)

    @contextlib.contextmanager
    def state(self):
        """Random numbers and autocast as they were at the call."""
        with fork_rng(enabled=self.preserve):
            if self.preserve:
                set_rng_state(self.random)
            half = switch(self.half)
            try:
                yield
            finally:
                switch(half)


class _Recompute(Function):
    @staticmethod
    def forward(ctx, call, outputs, *tensors):
        ctx.call, count = call, len(call.places)
        ctx.save_for_backward(*tensors[:count])
        ctx.others = tensors[count:]
        ctx.shapes = [(y.shape, y.dtype) for y in outputs]
        return outputs

    @staticmethod
    def backward(ctx, *grads):
        call, again, shut = ctx.call, is_grad_enabled(), []
        count = len(call.places)
        saved, others = ctx.saved_tensors, ctx.others
        needed = ctx.needs_input_grad[2 : 2 + count]
        with call.state(), enable_grad():
            args = [
                t if not need
                else _Gate.apply(t, shut) if again else t.detach().requires_grad_()
                for t, need in zip(saved, needed, strict=True)
            ]
            with call.later:
                result = call.run(args)
            outputs = [y for y in _tensors(result) if y.requires_grad]
        made = [(y.shape, y.dtype) for y in outputs]
        if call.compare and made != ctx.shapes:
            raise CheckpointError(
                f"checkpoint: the recomputation made results of other shapes or dtypes: {made} instead of "
                f"{ctx.shapes}. The function must do the same each time; determinism_check='none' skips this test"
            )
        wanted = [t for t in (*args, *others) if t.requires_grad]
        pairs = [(y, g) for y, g in zip(outputs, grads, strict=True) if g is not None]
        shut.append(True)  # else the paths beyond an argument would count twice
        made = iter(engine.grad(
            tuple(y for y, _ in pairs), tuple(wanted), tuple(g for _, g in pairs), True, again, True
        ))
        shut.clear()
        return None, None, *[next(made) if t.requires_grad else None for t in (*args, *others)]


def _tensors(result) -> list[Tensor]:
    """The tensors in nested lists, tuples and dicts."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, dict):
        result = result.values()
    return [t for r in result for t in _tensors(r)] if isinstance(
        result, (list, tuple, type({}.values()))
    ) else []


def _replaced(result, found: dict):
    """A nested result with other tensors in place of some."""
    if isinstance(result, Tensor):
        return found.get(id(result), result)
    if isinstance(result, dict):
        return type(result)((k, _replaced(r, found)) for k, r in result.items())
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*[_replaced(r, found) for r in result])
    if isinstance(result, (list, tuple)):
        return type(result)(_replaced(r, found) for r in result)
    return result


def noop_context_fn() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    """Two contexts that change nothing: the default of checkpoint's `context_fn`."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(function, *args, use_reentrant: bool | None = None, context_fn=noop_context_fn,
               determinism_check: str = "default", debug: bool = False, early_stop: bool = True,
               preserve_rng_state: bool = True, **kwargs):
    """`function(*args, **kwargs)`, whose intermediate values are computed again in backward().

    Gradients reach the arguments and whatever else the function uses, at any order. context_fn gives
    two context managers, for the call and for the recomputation. With preserve_rng_state, random
    numbers are the same again. Both values of `use_reentrant` run the same way; debug and early_stop are
    accepted. Raises CheckpointError in backward() if the results' shapes or dtypes are others than in the
    call, unless determinism_check is "none".

    >>> from rushlight.utils.checkpoint import checkpoint
    >>> layer, x = nn.Linear(4, 4), torch.ones(2, 4)
    >>> checkpoint(layer, x, use_reentrant=False).sum().backward()
    >>> layer.bias.grad
    tensor([2., 2., 2., 2.])
    """
    if not is_grad_enabled():
        with context_fn()[0]:
            return function(*args, **kwargs)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], got {determinism_check}")
    call = _Call(function, args, kwargs, context_fn(), preserve_rng_state, determinism_check == "default")
    tensors = [args[i] for i in call.places]
    inner = [t.detach().requires_grad_() if t.requires_grad else t for t in tensors]
    with call.first, uncut():
        result = call.run(inner)
    call.first = None
    outputs = [y for y in _tensors(result) if y.requires_grad]
    if outputs:
        own = {id(t) for t in inner}
        others = [t for t in engine.leaves_of(outputs) if id(t) not in own]
        made = _Recompute.apply(call, tuple([y.detach() for y in outputs]), *tensors, *others)
        result = _replaced(result, {id(y): z for y, z in zip(outputs, made, strict=True)})
    del inner, outputs
    forget_saved()
    return result


def checkpoint_sequential(functions, segments: int, input, use_reentrant: bool | None = None,
                          **kwargs):
    """A sequence of modules in `segments` checkpointed pieces (the last one is not).

    >>> from rushlight.utils.checkpoint import checkpoint_sequential
    >>> net = torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in range(4)])
    >>> x = torch.ones(1, 3, requires_grad=True)
    >>> bool((checkpoint_sequential(net, 2, x, use_reentrant=False) == net(x)).all())
    True
    """
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(functions) // segments

    def piece(start, stop):
        def run(x):
            for f in functions[start:stop]:
                x = f(x)
            return x

        return run

    at = 0
    for _ in range(segments - 1):
        input = checkpoint(piece(at, at + size), input, use_reentrant=use_reentrant, **kwargs)
        at += size
    return piece(at, len(functions))(input)


class CheckpointFunction:
    """The reentrant form under PyTorch's name: `apply(function, preserve_rng_state, *args)`.

    >>> from rushlight.utils.checkpoint import CheckpointFunction
    >>> CheckpointFunction.apply(torch.exp, True, torch.zeros(1, requires_grad=True)).detach()
    tensor([1.])
    """

    @staticmethod
    def apply(function: Callable, preserve_rng_state: bool, *args: Any) -> Any:
        """`checkpoint(function, *args)`."""
        check_backward_validity(args)
        return checkpoint(function, *args, use_reentrant=True, preserve_rng_state=preserve_rng_state)


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if no tensor among `inputs` requires a gradient."""
    if not any(t.requires_grad for t in inputs if isinstance(t, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def detach_variable(inputs: tuple) -> tuple:
    """The tensors of a tuple as leaves that require gradients where those did.

    >>> from rushlight.utils.checkpoint import detach_variable
    >>> x = torch.ones(1, requires_grad=True) * 2
    >>> detach_variable((x, "other"))
    (tensor([2.], requires_grad=True), 'other')
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}"
        )
    return tuple([
        t.detach().requires_grad_(t.requires_grad) if isinstance(t, Tensor) else t for t in inputs
    ])


class DefaultDeviceType:
    """The device whose random numbers are kept where all tensors are on the CPU: the CPU.

    >>> from rushlight.utils.checkpoint import DefaultDeviceType
    >>> DefaultDeviceType.get_device_type()
    'cpu'
    """

    _kind = "cpu"

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        """Name another one."""
        DefaultDeviceType._kind = device

    @staticmethod
    def get_device_type() -> str:
        """Its name."""
        return DefaultDeviceType._kind


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The random states of the devices that hold `args`, apart from the CPU: none."""
    return [], []


def set_device_states(devices: Iterable[int], states: Iterable[Tensor], *, device_type: str | None = None) -> None:
    """Restore what `get_device_states` returned."""


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Accepted: a recomputation calls the whole function, of which nothing is computed that no gradient needs."""
    yield


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Accepted: errors of a recomputation say what differs."""
    yield


class GraphExecGroup(contextlib.nullcontext):
    """Accepted: each backward() recomputes the functions that it goes through.

    >>> from rushlight.utils.checkpoint import GraphExecGroup, checkpoint
    >>> x = torch.ones(1, requires_grad=True)
    >>> with GraphExecGroup():
    ...     checkpoint(torch.exp, x, use_reentrant=False).backward()
    """


class CheckpointPolicy(enum.Enum):
    """What a selective checkpoint's policy says of an operation.

    >>> from rushlight.utils.checkpoint import CheckpointPolicy
    >>> CheckpointPolicy.MUST_SAVE.value
    0
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


class SelectiveCheckpointContext:
    """What a policy function is given beside the operation.

    >>> from rushlight.utils.checkpoint import SelectiveCheckpointContext
    >>> SelectiveCheckpointContext(is_recompute=False).is_recompute
    False
    """

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute, self.op_output = is_recompute, op_output


SAC_IGNORED_OPS: set = {namespace("aten").detach.default}


def create_selective_checkpoint_contexts(policy_fn_or_list: Callable | list, allow_cache_entry_mutation: bool = False
                                         ) -> tuple[Keeping, Recalling]:
    """The two contexts of checkpoint's `context_fn`: results of some operators are kept, and not made again.

    A policy gets a SelectiveCheckpointContext, the operator (`torch.ops.aten.mm.default`) and its arguments,
    and returns a CheckpointPolicy, or True for MUST_SAVE; a list names the operators to save. Functions are asked for as one
    operator, the first that PyTorch runs for them on the CPU (`linear` with a bias: aten.addmm). What is kept must not be written
    before backward(), unless allow_cache_entry_mutation. backward() can be called once. Raises ValueError for a list's
    element that is no overload of an operator.

    >>> from functools import partial
    >>> from rushlight.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
    >>> contexts = partial(create_selective_checkpoint_contexts, [torch.ops.aten.mm.default])
    >>> x = torch.ones(2, 2, requires_grad=True)
    >>> checkpoint(lambda x: (x @ x).exp(), x, use_reentrant=False, context_fn=contexts).sum().backward()
    >>> x.grad
    tensor([[29.5562, 29.5562],
            [29.5562, 29.5562]])
    """
    policy = policy_fn_or_list
    if isinstance(policy_fn_or_list, list):
        for op in policy_fn_or_list:
            if not isinstance(op, OpOverload):
                raise ValueError(f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}. "
                                 "An overload is, for instance, torch.ops.aten.mm.default")

        def policy(ctx, op, *args, **kwargs):
            return op in policy_fn_or_list
    elif not callable(policy_fn_or_list):
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    first = Keeping(policy, SelectiveCheckpointContext, _SAVED.__contains__, SAC_IGNORED_OPS)
    return first, Recalling(first.kept, allow_cache_entry_mutation, SAC_IGNORED_OPS)


_SAVED = {CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE, True}


__all__ = [
    "CheckpointError", "CheckpointFunction", "CheckpointPolicy", "DefaultDeviceType", "GraphExecGroup",
    "SAC_IGNORED_OPS", "SelectiveCheckpointContext", "check_backward_validity", "checkpoint",
    "checkpoint_sequential", "create_selective_checkpoint_contexts", "detach_variable", "get_device_states",
    "noop_context_fn", "set_checkpoint_debug_enabled", "set_checkpoint_early_stop", "set_device_states",
]
