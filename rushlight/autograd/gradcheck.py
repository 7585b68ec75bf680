"""Check gradients against finite differences: `gradcheck` and `gradgradcheck`."""

from __future__ import annotations

import numpy as np

from ..trace import engine
from ..trace.dtypes import FLOAT
from ..trace.modes import enable_grad
from ..trace.tensor import Tensor, array, wrap


class GradcheckError(RuntimeError):
    """Raised when an analytical and a numerical gradient differ.

    >>> x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    >>> try:
    ...     torch.autograd.gradcheck(lambda x: x.detach() * 2 + x, x)
    ... except torch.autograd.GradcheckError as error:
    ...     print(str(error).splitlines()[0])
    Jacobian mismatch for output 0 with respect to input 0,
    """


def _differentiable(inputs):
    return [t for t in inputs if isinstance(t, Tensor) and t.requires_grad]


def _tensors(func, inputs):
    """The differentiable outputs of `func`."""
    result = func(*inputs)
    if isinstance(result, Tensor):
        result = (result,)
    return [y for y in result if isinstance(y, Tensor) and y.dtype.category >= FLOAT]


def _outputs(func, inputs):
    """`_tensors`, complex ones as their two parts: what is checked is real."""
    return [
        part for y in _tensors(func, inputs)
        for part in ((y.real, y.imag) if y.is_complex() else (y,))
    ]


def _numerical(func, inputs, x, eps):
    """d outputs / d x by central differences: one array (x elements, y elements) per output."""
    a = array(x.detach())
    flat_places = list(np.ndindex(a.shape))
    rows = None
    for place in flat_places:
        steps = (eps, 1j * eps) if a.dtype.kind == "c" else (eps,)
        total = None
        for step in steps:
            sides = []
            for sign in (1, -1):
                moved = a.copy()
                moved[place] += sign * step
                swapped = [
                    wrap(moved, True) if t is x else t for t in inputs
                ]
                sides.append([array(y.detach()).copy() for y in _outputs(func, swapped)])
            part = [
                (hi - lo).reshape(-1) / (2 * eps) for hi, lo in zip(*sides, strict=True)
            ]
            if step != eps:
                part = [p * 1j for p in part]
            total = part if total is None else [p + q for p, q in zip(total, part, strict=True)]
        if rows is None:
            rows = [[] for _ in total]
        for r, p in zip(rows, total, strict=True):
            r.append(p)
    return [np.array(r) if r else np.zeros((0, 0)) for r in rows or []]


def _analytical(func, inputs, leaves):
    """d output / d leaf for every pair, row by row with one-hot cotangents."""
    outputs = _outputs(func, inputs)
    made = []
    for y in outputs:
        columns = [[] for _ in leaves]
        for k in range(y.numel()):
            seed = np.zeros(y.numel(), array(y.detach()).dtype)
            seed[k] = 1
            if not y.requires_grad:
                grads = [None] * len(leaves)
            else:
                grads = engine.grad(
                    (y,), tuple(leaves), (wrap(seed.reshape(y.shape)),), True, False, True
                )
            for c, g, x in zip(columns, grads, leaves, strict=True):
                c.append(np.zeros(x.numel()) if g is None else array(g.detach()).reshape(-1).copy())
        made.append([np.array(c).T if c else None for c in columns])
    return outputs, made


def gradcheck(
    func,
    inputs,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the gradients of `func` at float64 `inputs` with finite differences.

    Raises GradcheckError (or returns False) where they differ by more than atol + rtol * |value|.

    >>> x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.sin, x)
    True
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    leaves = _differentiable(inputs)
    for i, x in enumerate(inputs):
        if isinstance(x, Tensor) and x.requires_grad and x._s.m.overlaps:
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that "
                "are non-overlapping to be able to compute the numerical gradients correctly. You "
                "should call .contiguous on the input before passing it to gradcheck."
            )
    if not leaves:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them "
            "have requires_grad=True."
        )
    try:
        with enable_grad():
            outputs, analytical = _analytical(func, inputs, leaves)
        for i, x in enumerate(leaves):
            numerical = _numerical(func, inputs, x, eps)
            for j in range(len(outputs)):
                want, have = numerical[j], analytical[j][i]
                if want.size == 0:
                    continue
                if np.iscomplexobj(have) and not np.iscomplexobj(want):
                    want = want.astype(have.dtype)
                if not np.allclose(have, want, rtol=rtol, atol=atol, equal_nan=True):
                    raise GradcheckError(
                        f"Jacobian mismatch for output {j} with respect to input {i},\n"
                        f"numerical:{want}\nanalytical:{have}\n"
                    )
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func,
    inputs,
    grad_outputs=None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """`gradcheck` of the gradients of `func`: checks second derivatives."""
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        grad_outputs = [
            wrap((rng.standard_normal((*y.shape, 2)) @ [1, 1j if y.is_complex() else 0])
                 .astype(y.dtype.np), True) for y in _tensors(func, inputs)
        ]
    elif isinstance(grad_outputs, Tensor):
        grad_outputs = [grad_outputs]
    n = len(inputs)

    def first(*args):
        xs = [a for a in args[:n] if isinstance(a, Tensor) and a.requires_grad]
        ys = _tensors(func, args[:n])
        seeds = args[n:]
        pairs = [(y, g) for y, g in zip(ys, seeds, strict=True) if y.requires_grad]
        return tuple(
            g for g in engine.grad(
                tuple(y for y, _ in pairs), tuple(xs), tuple(g for _, g in pairs), True, True, True
            ) if g is not None
        )

    return gradcheck(
        first, (*inputs, *grad_outputs), eps=eps, atol=atol, rtol=rtol,
        raise_exception=raise_exception, nondet_tol=nondet_tol,
    )
