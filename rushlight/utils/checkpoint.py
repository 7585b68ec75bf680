"""Activation checkpointing: recompute a function in backward() instead of keeping its values."""

from __future__ import annotations

from ..autograd.function import Function
from ..random import fork_rng, get_rng_state, set_rng_state
from ..trace import engine
from ..trace.autocast import switch
from ..trace.modes import enable_grad
from ..trace.tensor import Tensor
from ..trace.trie import RECORDER


class _Recompute(Function):
    @staticmethod
    def forward(ctx, run, preserve, *args):
        ctx.run, ctx.preserve, ctx.half = run, preserve, RECORDER.tr.autocast
        ctx.state = get_rng_state() if preserve else None
        ctx.plain = [None if isinstance(a, Tensor) else a for a in args]
        ctx.tensors = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*[args[i] for i in ctx.tensors])
        return run(*args)

    @staticmethod
    def backward(ctx, *grads):
        args = list(ctx.plain)
        for i, t in zip(ctx.tensors, ctx.saved_tensors, strict=True):
            args[i] = t.detach().requires_grad_(t.requires_grad)
        with fork_rng(enabled=ctx.preserve), enable_grad():
            if ctx.preserve:
                set_rng_state(ctx.state)
            half = switch(ctx.half)
            try:
                outputs = ctx.run(*args)
            finally:
                switch(half)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (y, g) for y, g in zip(outputs, grads, strict=True)
            if isinstance(y, Tensor) and y.requires_grad
        ]
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        engine.backward(tuple(y for y, _ in pairs), tuple(g for _, g in pairs))
        return None, None, *[a.grad if isinstance(a, Tensor) else None for a in args]


def checkpoint(function, *args, use_reentrant: bool | None = None, preserve_rng_state: bool = True,
               **kwargs):
    """`function(*args)` whose intermediate values are computed again in backward().

    Parameters that `function` uses get their gradients too. Random numbers are the same again
    (`preserve_rng_state`). Both values of `use_reentrant` run the same way.

    >>> from rushlight.utils.checkpoint import checkpoint
    >>> layer, x = nn.Linear(4, 4), torch.ones(2, 4)
    >>> checkpoint(layer, x, use_reentrant=False).sum().backward()
    >>> layer.bias.grad
    tensor([2., 2., 2., 2.])
    """
    def run(*given):
        return function(*given, **kwargs)

    if not any(isinstance(a, Tensor) and a.requires_grad for a in args):
        # the function's own parameters may still need gradients: give the output a history
        from ..trace.layouts import filled

        anchor = filled((), 0, next(
            (a.dtype for a in args if isinstance(a, Tensor) and a.is_floating_point()), _default()
        )).requires_grad_()
        return _Recompute.apply(lambda _, *given: run(*given), preserve_rng_state, anchor, *args)
    return _Recompute.apply(run, preserve_rng_state, *args)


def _default():
    from ..trace.dtypes import get_default_dtype

    return get_default_dtype()


def checkpoint_sequential(functions, segments: int, input, use_reentrant: bool | None = None,
                          **kwargs):
    """A sequence of modules in `segments` checkpointed pieces (the last one is not)."""
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
