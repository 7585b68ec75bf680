"""Transforms that differentiate: grad, vjp, jvp, Jacobians, Hessians.

Each call gives the function fresh inputs that require grad and differentiates what comes out. The
results can be differentiated again where somebody may want that: inside of another transform, or
when an input or a tensor that the function closes over requires grad.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..autograd._products import Pushed, pulled, zeros
from ..ops.shape import stack
from ..trace.graph import AccumulateGrad
from ..trace.layouts import filled
from ..trace.modes import enable_grad, is_grad_enabled
from ..trace.tensor import Tensor
from ..utils._pytree import tree_flatten, tree_map, tree_unflatten

_depth = [0]  # how many transforms are running


def _tensors(tree: Any, name: str, kind: type[Exception] = ValueError) -> tuple[list[Tensor], Any]:
    """The tensors of a tree and its structure; raises `kind` for other leaves."""
    leaves, spec = tree_flatten(tree)
    for x in leaves:
        if not isinstance(x, Tensor):
            raise kind(f"{name}: expected only Tensors, but got a {type(x).__name__}: {x!r:.40}")
    return leaves, spec


class _Run:
    """A function called on fresh inputs in one level of transforms."""

    def __init__(self, name: str, func: Callable, args: tuple, chosen: Any, kwargs: dict,
                 has_aux: bool = False):  # fmt: skip
        # chosen: the positions of the arguments to differentiate, None for all
        self.outside = is_grad_enabled() and _depth[0] == 0
        self.nested = _depth[0] > 0
        picked = tuple(args) if chosen is None else tuple(args[i] for i in chosen)
        given, self.in_spec = _tensors(picked, name)
        for x in given:
            if not (x.is_floating_point() or x.is_complex()):
                raise RuntimeError(
                    f"{name}: only inputs of floating point or complex dtype can be "
                    f"differentiated, not {x.dtype} of shape {list(x.shape)}"
                )
        _depth[0] += 1
        try:
            with enable_grad():
                self.inputs = [x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
                               for x in given]  # fmt: skip
                used = tree_unflatten([x.clone() for x in self.inputs], self.in_spec)
                if chosen is not None:
                    all_args = list(args)
                    for i, x in zip(chosen, used):
                        all_args[i] = x
                    used = tuple(all_args)
                made = func(*used, **kwargs)
        finally:
            _depth[0] -= 1
        self.aux = None
        if has_aux:
            if not isinstance(made, tuple) or len(made) != 2:
                raise RuntimeError(
                    f"{name}: with has_aux=True the function must return a tuple (output, aux), "
                    f"got {type(made).__name__}"
                )
            made, self.aux = made
        self.outputs, self.out_spec = _tensors(made, name, RuntimeError)
        self.create = self.nested or any(x.requires_grad for x in given) or self._reaches_others()

    def _reaches_others(self) -> bool:
        """Whether the outputs depend on leaves that require grad besides the inputs."""
        if not self.outside:
            return False
        own = {id(x) for x in self.inputs}
        pending = [y.grad_fn for y in self.outputs if y.grad_fn is not None]
        seen = set()
        while pending:
            node = pending.pop()
            if isinstance(node, AccumulateGrad):
                if id(node.variable) not in own:
                    return True
                continue
            key = id(getattr(node, "_node", node)), id(node._where)
            if key in seen:
                continue
            seen.add(key)
            pending += [n for n, _ in node.next_functions if n is not None]
        return False

    def told(self, tree: Any) -> Any:
        """Results as the caller gets them: without history that only the fresh inputs have."""
        if self.create:
            return tree
        return tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, tree)

    def result(self) -> Any:
        return self.told(tree_unflatten(self.outputs, self.out_spec))

    def pull(self, cotangents: list[Tensor], create: bool | None = None) -> list[Tensor]:
        with enable_grad():
            return pulled(self.outputs, self.inputs, cotangents,
                          self.create if create is None else create)  # fmt: skip


def _positions(argnums: int | tuple[int, ...], count: int, name: str) -> tuple[int, ...]:
    wanted = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for i in wanted:
        if not -count <= i < count:
            raise RuntimeError(
                f"{name}: got argnum={i}, but only {count} positional inputs"
            )
    return tuple(i % count for i in wanted)


def grad_and_value(
    func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable:
    """A function that gives (gradients, value) of `func`, which gives one number.

    argnums: the arguments (trees of tensors) to differentiate. has_aux: `func` gives (number, other
    results), and the result is (gradients, (number, other results)).
    """

    @functools.wraps(func)
    def made(*args: Any, **kwargs: Any) -> Any:
        chosen = _positions(argnums, len(args), "grad_and_value")
        run = _Run("grad_and_value", func, args, chosen, kwargs, has_aux)
        if not run.out_spec.is_leaf():
            raise RuntimeError(
                "Expected f(*args) to return a Tensor, but got a tree of "
                f"{len(run.outputs)} tensors: {run.out_spec}"
            )
        (y,) = run.outputs
        if y.ndim:
            raise RuntimeError(
                "Expected f(*args) to return a scalar tensor, got tensor with "
                f"{y.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
            )
        slopes = run.told(tree_unflatten(run.pull([filled((), 1, y.dtype)]), run.in_spec))
        value = run.told(y)
        slopes = slopes[0] if isinstance(argnums, int) else slopes
        return slopes, (value, run.told(run.aux)) if has_aux else value

    return made


def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that gives the gradient of `func`, which gives one number.

    >>> torch.func.grad(lambda x: (x * x).sum())(torch.tensor([1.0, 3.0]))
    tensor([2., 6.])
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def made(*args: Any, **kwargs: Any) -> Any:
        slopes, value = both(*args, **kwargs)
        return (slopes, value[1]) if has_aux else slopes

    return made


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(outputs, pull): `pull(cotangents)` gives the cotangents of the inputs, as a tuple.

    >>> y, pull = torch.func.vjp(lambda x: x * x, torch.tensor([1.0, 3.0]))
    >>> pull(torch.ones(2))
    (tensor([2., 6.]),)
    """
    run = _Run("vjp", func, primals, None, {}, has_aux)

    def pull(
        cotangents: Any, *more: Any, retain_graph: bool = True, create_graph: Any = None
    ) -> Any:
        given, spec = tree_flatten((cotangents, *more) if more else cotangents)
        if spec != run.out_spec:
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of "
                f"outputs to the function. cotangents: {spec}, primal output: {run.out_spec}"
            )
        create = run.create or any(c.requires_grad for c in given) or _depth[0] > 0
        made = run.pull(given, create)
        if not create:
            made = [g.detach() for g in made]
        return tree_unflatten(made, run.in_spec)

    return (run.result(), pull, run.told(run.aux)) if has_aux else (run.result(), pull)


def jvp(
    func: Callable, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple:
    """(outputs, their tangents) for tangents of the inputs; primals, tangents: tuples.

    >>> torch.func.jvp(lambda x: x * x, (torch.tensor([1.0, 3.0]),), (torch.ones(2),))
    (tensor([1., 9.]), tensor([2., 6.]))
    """
    if not isinstance(primals, tuple):
        raise RuntimeError(f"jvp: Expected primals to be a tuple, got {type(primals).__name__}")
    given, spec = _tensors(tangents, "jvp")
    run = _Run("jvp", func, primals, None, {}, has_aux)
    if spec != run.in_spec:
        raise RuntimeError(
            "jvp: Expected primals and tangents to have the same python structure, but got "
            f"{run.in_spec} and {spec}"
        )
    moved = _pushed(run)(given)
    out = run.result(), tree_unflatten(moved, run.out_spec)
    return (*out, run.told(run.aux)) if has_aux else out


def _pushed(run: _Run) -> Callable:
    """The map from tangents of the inputs to those of the outputs."""
    with enable_grad():
        push = Pushed(run.outputs, run.inputs)

    def forward(tangents: list[Tensor]) -> list[Tensor]:
        create = run.create or any(t.requires_grad for t in tangents)
        with enable_grad():
            made = push(tangents, create)
        return made if create else [t.detach() for t in made]

    return forward


def linearize(func: Callable, *primals: Any) -> tuple[Any, Callable]:
    """(outputs, push): `push(*tangents)` gives the outputs' tangents; `func` runs once."""
    run = _Run("linearize", func, primals, None, {})
    forward = _pushed(run)

    def push(*tangents: Any) -> Any:
        given, spec = _tensors(tangents, "linearize")
        if spec != run.in_spec or any(
            t.shape != x.shape for t, x in zip(given, run.inputs)
        ):
            raise RuntimeError(
                "linearize: Expected the tangents to have the structure and shapes of the primals: "
                f"{[list(x.shape) for x in run.inputs]}"
            )
        return tree_unflatten(forward(given), run.out_spec)

    return run.result(), push


def _units(t: Tensor) -> list[Tensor]:
    """The tensors like `t` with one 1 in each of its places."""
    made = []
    for i in range(t.numel()):
        one = zeros(t).reshape(-1)
        one[i] = 1
        made.append(one.reshape(t.shape))
    return made


def _stacked(parts: list[Tensor], shape: tuple, like: Tensor, last: bool) -> Tensor:
    """Derivatives for each place, as a tensor of two shapes; last: places are the second."""
    if not parts:
        return like.new_zeros(shape)
    return stack(parts, -1 if last else 0).reshape(shape)


def _jacobian(name: str, func: Callable, argnums: Any, has_aux: bool, forward: bool) -> Callable:
    @functools.wraps(func)
    def made(*args: Any) -> Any:
        run = _Run(name, func, args, _positions(argnums, len(args), name), {}, has_aux)
        columns: list[list[Tensor]]
        if forward:
            push = _pushed(run)
            pushed = [[push([e if k == i else zeros(z) for k, z in enumerate(run.inputs)])
                       for e in _units(x)] for i, x in enumerate(run.inputs)]  # fmt: skip
            table = [
                [_stacked([p[j] for p in pushed[i]], (*y.shape, *x.shape), y, True)
                 for i, x in enumerate(run.inputs)] for j, y in enumerate(run.outputs)
            ]  # fmt: skip
        else:
            table = []
            for j, y in enumerate(run.outputs):
                rows = [run.pull([e if k == j else zeros(z) for k, z in enumerate(run.outputs)])
                        for e in _units(y)]  # fmt: skip
                columns = [[r[i] for r in rows] for i in range(len(run.inputs))]
                table.append([_stacked(c, (*y.shape, *x.shape), y, False)
                              for c, x in zip(columns, run.inputs)])  # fmt: skip
        trees = [tree_unflatten(row, run.in_spec) for row in table]
        if isinstance(argnums, int):
            trees = [t[0] for t in trees]
        result = run.told(tree_unflatten(trees, run.out_spec))
        return (result, run.told(run.aux)) if has_aux else result

    return made


def jacrev(
    func: Callable, argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False,
    chunk_size: int | None = None, _preallocate_and_copy: bool = False,
) -> Callable:  # fmt: skip
    """A function that gives the Jacobian of `func`, row by row: shape of output, shape of input.

    >>> torch.func.jacrev(torch.sin)(torch.tensor([0.0, 0.0]))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")
    return _jacobian("jacrev", func, argnums, has_aux, False)


def jacfwd(
    func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *,
    randomness: str = "error",
) -> Callable:  # fmt: skip
    """A function that gives the Jacobian of `func`, column by column: see `jacrev`."""
    return _jacobian("jacfwd", func, argnums, has_aux, True)


def hessian(func: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """A function that gives the second derivatives of `func`."""
    return jacfwd(jacrev(func, argnums), argnums)


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """`func` itself: what is recorded has no mutations to be removed."""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            "functionalize(f, remove='mutations'): received invalid argument for remove=, valid "
            f"inputs are: remove='mutations' or remove='mutations_and_views', not {remove!r}"
        )
    return func
