"""From constraints to transforms that reach them from unconstrained numbers.

`biject_to(constraint)` gives a bijection with a Jacobian, for densities in an unconstrained space.
`transform_to(constraint)` gives a cheap transform for optimising parameters, which need be none: of a
simplex, a softmax instead of stick breaking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import constraints, transforms
from .utils import is_number

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """A table from classes of constraints to functions that make a transform of a constraint.

    >>> registry = ConstraintRegistry()
    >>> factory = registry.register(constraints.real, lambda constraint: transforms.ExpTransform())
    >>> registry(constraints.real)
    ExpTransform()
    """

    def __init__(self) -> None:
        self._registry: dict[type, Callable] = {}
        super().__init__()

    def register(self, constraint: Any, factory: Callable | None = None) -> Any:
        """Enter a constraint's class (or an instance's). Without `factory`: a decorator.

        TypeError if `constraint` is neither a constraint nor a class of them.
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        kind = type(constraint) if isinstance(constraint, constraints.Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, constraints.Constraint):
            raise TypeError(
                "Expected constraint to be either a Constraint subclass or instance, but got "
                f"{constraint}"
            )
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: constraints.Constraint) -> transforms.Transform:
        """The transform from unconstrained numbers. NotImplementedError if none is entered."""
        try:
            factory = self._registry[type(constraint)]
        except KeyError:
            raise NotImplementedError(
                f"Cannot transform {type(constraint).__name__} constraints; register() one"
            ) from None
        return factory(constraint)


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _both(*kinds: Any) -> Callable:
    def enter(factory: Callable) -> Callable:
        for registry in (biject_to, transform_to):
            for kind in kinds:
                registry.register(kind, factory)
        return factory

    return enter


@_both(constraints.real)
def _to_real(constraint):
    return transforms.identity_transform


def _shifted_exp(loc: Any, scale: int) -> transforms.Transform:
    shift = transforms.AffineTransform(loc, scale)
    return transforms.ComposeTransform([transforms.ExpTransform(), shift])


@_both(constraints.greater_than, constraints.greater_than_eq)
def _to_greater_than(constraint):
    return _shifted_exp(constraint.lower_bound, 1)


@_both(constraints.less_than)
def _to_less_than(constraint):
    return _shifted_exp(constraint.upper_bound, -1)


@_both(constraints.interval, constraints.half_open_interval)
def _to_interval(constraint):
    low, high = constraint.lower_bound, constraint.upper_bound
    sigmoid = transforms.SigmoidTransform()
    if is_number(low) and is_number(high) and (low, high) == (0, 1):
        return sigmoid
    return transforms.ComposeTransform([sigmoid, transforms.AffineTransform(low, high - low)])


@_both(constraints.corr_cholesky)
def _to_corr_cholesky(constraint):
    return transforms.CorrCholeskyTransform()


biject_to.register(constraints.simplex, lambda c: transforms.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: transforms.SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda c: transforms.LowerCholeskyTransform())
for _matrix in (constraints.positive_definite, constraints.positive_semidefinite):
    transform_to.register(_matrix, lambda c: transforms.PositiveDefiniteTransform())


def _enter_nested(registry: ConstraintRegistry) -> None:
    """Constraints of constraints: transforms of their transforms."""

    @registry.register(constraints.independent)
    def _to_independent(c):
        base = registry(c.base_constraint)
        return transforms.IndependentTransform(base, c.reinterpreted_batch_ndims)

    @registry.register(constraints.cat)
    def _to_cat(c):
        return transforms.CatTransform([registry(part) for part in c.cseq], c.dim, c.lengths)

    @registry.register(constraints.stack)
    def _to_stack(c):
        return transforms.StackTransform([registry(part) for part in c.cseq], c.dim)


_enter_nested(biject_to)
_enter_nested(transform_to)
