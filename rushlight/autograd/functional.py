"""torch.autograd.functional: derivatives of functions, as tensors and as products with vectors.

A function takes tensors and gives a tensor or a tuple of them. `inputs` is a tensor or a tuple;
results have the structure of inputs and outputs. create_graph: the results can be differentiated
again. strict: RuntimeError if an output does not depend on an input (else its derivative is 0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..trace.layouts import filled
from ..trace.modes import enable_grad
from ..trace.tensor import Tensor
from ._products import Pushed, pulled, zeros

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tensors(x: Any, what: str, name: str) -> tuple[bool, list[Tensor]]:
    """(whether it is a tuple, its tensors)."""
    whole = isinstance(x, (tuple, list))
    parts = list(x) if whole else [x]
    for i, t in enumerate(parts):
        if not isinstance(t, Tensor):
            where = f"value at index {i} of the " if whole else ""
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the "
                f"given {where}{what} has type {type(t)}."
            )
    return whole, parts


class _Call:
    """A function called on fresh copies of its inputs, and what came out."""

    def __init__(self, name: str, func: Callable, inputs: Any, create_graph: bool) -> None:
        self.name, self.create = name, create_graph
        self.many_in, given = _tensors(inputs, "inputs", name)
        self.inputs = [
            x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_()
            for x in given
        ]
        made = func(*self.inputs)
        self.many_out, self.outputs = _tensors(
            made, "outputs of the user-provided function", name
        )

    def cotangents(self, v: Any, like: list[Tensor], many: bool, what: str) -> list[Tensor]:
        """The vectors `v`, which must be like these tensors; ones for a single number."""
        if v is None:
            if len(like) != 1 or like[0].numel() != 1:
                raise RuntimeError(
                    f"The vector v can only be None if the {what} of the user-provided function is "
                    "a single Tensor with a single element."
                )
            return [filled(like[0].shape, 1, like[0].dtype)]
        _, parts = _tensors(v, "v", self.name)
        if len(parts) != len(like):
            raise RuntimeError(
                f"v is a tuple of invalid length: should be {len(like)} but got {len(parts)}."
            )
        for i, (a, b) in enumerate(zip(parts, like)):
            if a.shape != b.shape:
                raise RuntimeError(
                    f"Entry {i} in v has invalid size: should be {b.shape} but got {a.shape}."
                )
        return parts

    def check(self, strict: bool) -> None:
        """With strict, every output must require grad."""
        for i, y in enumerate(self.outputs):
            if strict and not y.requires_grad:
                raise RuntimeError(
                    f"Output {i} of the user-provided function does not require gradients. The "
                    "outputs must be computed in a differentiable manner from the input when "
                    "running in strict mode."
                )

    def unused(self, strict: bool) -> Callable:
        """What stands for the derivative of something without influence."""

        def make(t: Tensor) -> Tensor:
            if strict:
                raise RuntimeError(
                    "An output of the user-provided function is independent of an input of shape "
                    f"{list(t.shape)}. This is not allowed in strict mode."
                )
            return zeros(t)

        return make

    def packed(self, parts: list, many: bool) -> Any:
        """Results as the user gets them."""
        parts = parts if self.create else [p.detach() for p in parts]
        return tuple(parts) if many else parts[0]

    def values(self) -> Any:
        return self.packed(self.outputs, self.many_out)


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(outputs, v^T J): the product of a vector with the Jacobian.

    v: like the outputs; may be left out for a single number.

    >>> torch.autograd.functional.vjp(lambda x: x * x, torch.tensor([1.0, 3.0]), torch.ones(2))[1]
    tensor([2., 6.])
    """
    with enable_grad():
        call = _Call("vjp", func, inputs, create_graph)
        call.check(strict)
        v = call.cotangents(v, call.outputs, call.many_out, "output")
        made = pulled(call.outputs, call.inputs, v, create_graph, call.unused(strict))
    return call.values(), call.packed(made, call.many_in)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(outputs, J v): the product of the Jacobian with a vector.

    v: like the inputs; may be left out for a single number.
    """
    with enable_grad():
        call = _Call("jvp", func, inputs, create_graph)
        call.check(strict)
        v = call.cotangents(v, call.inputs, call.many_in, "input")
        made = Pushed(call.outputs, call.inputs)(v, create_graph, call.unused(strict))
    return call.values(), call.packed(made, call.many_out)


def _rows(y: Tensor, inputs: list[Tensor], create: bool, unused: Callable) -> list[Tensor]:
    """The Jacobian of one output with respect to each input."""
    rows: list[list[Tensor]] = [[] for _ in inputs]
    one = zeros(y).reshape(-1)
    for i in range(y.numel()):
        at = one.clone()
        at[i] = 1
        made = pulled([y], inputs, [at.reshape(y.shape)], create, unused)
        for column, g in zip(rows, made):
            column.append(g)
    from ..ops.shape import stack

    return [
        stack(column).reshape((*y.shape, *x.shape)) if column else x.new_zeros((*y.shape, *x.shape))
        for column, x in zip(rows, inputs)
    ]


def jacobian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Jacobians: for each output and input a tensor of the shapes of both, one after the other.

    vectorize, strategy: accepted; the result is the same.

    >>> torch.autograd.functional.jacobian(lambda x: x * x, torch.tensor([1.0, 3.0]))
    tensor([[2., 0.],
            [0., 6.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            f'Expected strategy to be either "forward-mode" or "reverse-mode", not "{strategy}"'
        )
    with enable_grad():
        call = _Call("jacobian", func, inputs, create_graph)
        call.check(strict)
        made = [
            call.packed(_rows(y, call.inputs, create_graph, call.unused(strict)), call.many_in)
            for y in call.outputs
        ]
    return tuple(made) if call.many_out else made[0]


def _single(name: str, y: Any) -> Tensor:
    """The one number that the function of a Hessian gives."""
    parts = _tensors(y, "outputs of the user-provided function", name)[1]
    if len(parts) != 1 or parts[0].numel() != 1:
        raise RuntimeError(
            "The Tensor returned by the function given to "
            f"{name} should contain a single element, but got shapes "
            f"{[list(p.shape) for p in parts]}"
        )
    return parts[0].reshape(())


def hessian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The second derivatives of a function with one number as its output.

    For each two inputs a tensor of the shapes of both.
    """
    many = isinstance(inputs, (tuple, list))

    def slope(*inputs: Tensor) -> Any:
        y = _single("hessian", func(*inputs))
        return tuple(pulled([y], list(inputs), [filled((), 1, y.dtype)], True))

    made = jacobian(slope, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return made if many else made[0]


def _second(name: str, func: Callable, inputs: Any, v: Any, create: bool, strict: bool) -> tuple:
    """(the call with one number as its output, the gradients, the vector)."""
    call = _Call(name, lambda *x: _single(name, func(*x)), inputs, create)
    call.check(strict)
    v = call.cotangents(v, call.inputs, call.many_in, "input")
    y = call.outputs[0]
    return call, pulled([y], call.inputs, [filled((), 1, y.dtype)], True, call.unused(strict)), v


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(output, v^T H): the product of a vector, like the inputs, with the Hessian."""
    with enable_grad():
        call, slopes, v = _second("vhp", func, inputs, v, create_graph, strict)
        made = pulled(slopes, call.inputs, v, create_graph, call.unused(strict))
    return call.values(), call.packed(made, call.many_in)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """(output, H v): the product of the Hessian with a vector; `vhp` takes less time."""
    with enable_grad():
        call, slopes, v = _second("hvp", func, inputs, v, create_graph, strict)
        made = Pushed(slopes, call.inputs)(v, create_graph, call.unused(strict))
    return call.values(), call.packed(made, call.many_in)
