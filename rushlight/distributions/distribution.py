"""`Distribution`, the base of all distributions, and `ExponentialFamily`.

A distribution keeps its parameters as attributes, broadcast together. What nearly all of them do alike
is here: validation, `expand` (from the names in `_expanded`), shapes and printing. A subclass of this
package names what `expand` expands (`_expanded`) and what it copies (`_kept`).
"""

from __future__ import annotations

import warnings
from typing import Any

import rushlight as torch
from rushlight.trace.meta import Size
from rushlight.trace.tensor import Tensor

from . import constraints
from .utils import _sum_rightmost, broadcast_all, lazy_property

__all__ = ["Distribution", "ExponentialFamily"]


EMPTY = Size()


class Distribution:
    """Base class of probability distributions.

    batch_shape: the shape of the parameters. event_shape: the shape of one sample. validate_args:
    whether parameters and values are checked (ValueError); the default is `__debug__`.
    Subclasses define what exists of `arg_constraints`, `support`, `rsample` or `sample`, `log_prob`,
    `entropy`, `cdf`, `icdf`, `mean`, `mode`, `variance`, `enumerate_support` and `expand`; all others
    raise NotImplementedError.

    >>> class Point(Distribution):
    ...     arg_constraints = {}
    ...     def rsample(self, sample_shape=()):
    ...         return torch.zeros(self._extended_shape(sample_shape))
    >>> Point(torch.Size([2])).sample((3,)).shape
    torch.Size([3, 2])
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    _validate_args = __debug__
    _expanded: tuple[str, ...]
    _kept: tuple[str, ...] = ()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Switch validation on or off for all distributions that do not say otherwise."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args expects True or False, but got {value!r}")
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Size = EMPTY,
        event_shape: Size = EMPTY,
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = batch_shape, event_shape
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()

    def _broadcast(self, validate_args: bool | None, **parameters: Any) -> None:
        """`__init__` of a distribution of numbers: parameters of one shape, the batch's."""
        tensors = broadcast_all(*parameters.values())
        self.__dict__.update(zip(parameters, tensors, strict=True))
        Distribution.__init__(self, tensors[0].shape, validate_args=validate_args)

    def _check_parameters(self) -> None:
        """ValueError if a parameter is not in its constraint."""
        try:
            arg_constraints = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`, so its parameters cannot be "
                "checked. Set `arg_constraints = {}`, or pass validate_args=False.",
                stacklevel=4,
            )
            return
        for name, constraint in arg_constraints.items():
            if constraints.is_dependent(constraint) or (
                name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property)
            ):
                continue
            value = getattr(self, name)
            if not constraints.holds(constraint, value):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}"
                )

    def _validate_sample(self, value: Tensor) -> None:
        """ValueError if `value` is no tensor, does not fit the shapes, or is not in the support."""
        if not isinstance(value, Tensor):
            raise ValueError(
                f"The value argument to log_prob must be a Tensor, but got {type(value).__name__}"
            )
        shape, event = value.shape, self._event_shape
        expected = self._batch_shape + event if event else self._batch_shape
        if event and shape[len(shape) - len(event) :] != event:
            raise ValueError(
                f"The right-most size of value must match event_shape: {shape} vs {event}."
            )
        if shape and shape != expected and any(
            [1 not in pair and pair[0] != pair[1] for pair in zip(reversed(shape), reversed(expected))]
        ):
            raise ValueError(
                f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {expected}."
            )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support`, so values cannot be checked. Pass "
                "validate_args=False to do without.",
                stacklevel=3,
            )
            return
        if support is None:
            raise AssertionError(f"The support of {type(self).__name__} is None")
        if not constraints.holds(support, value):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(shape)}) to be "
                f"within the support ({support!r}) of the distribution {self!r}, but found invalid "
                f"values:\n{value}"
            )

    def _check(self, value: Tensor) -> None:
        if self._validate_args:
            self._validate_sample(value)

    # ------------------------------------------------------------ shapes

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one sample."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        """The shape of `sample(sample_shape)`."""
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """This distribution with its batch expanded to `batch_shape`; no memory is copied.

        _instance: what an overriding `expand` made, to be filled. NotImplementedError if a subclass
        has an `__init__` of its own and no `expand`.
        """
        new, batch_shape = self._expand_attributes(batch_shape, _instance)
        return self._expand_shapes(new, batch_shape)

    def _expand_attributes(self, batch_shape: Any, _instance: Any) -> tuple[Any, Size]:
        owner = next((c for c in type(self).__mro__ if "_expanded" in c.__dict__), None)
        if owner is None:
            raise NotImplementedError(f"{type(self).__name__} does not implement expand")
        new, batch_shape = self._get_checked_instance(owner, _instance), Size(batch_shape)
        rank = len(self._batch_shape)
        for name in self._expanded:
            value = self.__dict__.get(name)
            if isinstance(value, Distribution):
                setattr(new, name, value.expand(batch_shape + value.batch_shape[rank:]))
            elif value is not None:
                setattr(new, name, value.expand(batch_shape + value.shape[rank:]))
        for name in self._kept:
            setattr(new, name, getattr(self, name))
        return new, batch_shape

    def _expand_shapes(self, new: Any, batch_shape: Size) -> Any:
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """An instance to be filled by `expand`, which `cls` defines."""
        if _instance is None and type(self).__init__ is not cls.__init__:
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ "
                "method must also define a custom .expand() method."
            )
        return self.__new__(type(self)) if _instance is None else _instance

    # ------------------------------------------------------------ what subclasses define

    @property
    def arg_constraints(self) -> Any:
        """The constraint of each parameter, by name."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The constraint of the values."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The mean, of batch and event shape."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most probable value, of batch and event shape."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance, of batch and event shape."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The standard deviation: the root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """A sample of shape `sample_shape + batch_shape + event_shape`, without gradient."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """A sample through which gradients reach the parameters, if `has_rsample`."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """`sample((n,))`; deprecated."""
        warnings.warn("sample_n(n) is deprecated: use sample((n,))", FutureWarning, stacklevel=2)
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density or probability of `value`, of sample and batch shape."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of values up to `value`."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile of the probability `value`: the inverse of `cdf`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution along a new first dimension.

        expand: to the shape (cardinality,) + batch_shape + event_shape; else the batch's sizes are 1.
        """
        raise NotImplementedError

    def _enumerated(self, values: Tensor, expand: bool) -> Tensor:
        """`values` in the shape that `enumerate_support` gives them."""
        shape = (-1,) + (1,) * len(self._batch_shape) + self._event_shape
        values = values.view(shape)
        return values.expand((-1,) + self._batch_shape + self._event_shape) if expand else values

    def entropy(self) -> Tensor:
        """The entropy in nats, of batch shape."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """The exponential of the entropy."""
        return torch.exp(self.entropy())

    def __repr__(self) -> str:
        parameters = {k: self.__dict__[k] for k in self.arg_constraints if k in self.__dict__}
        shown = [
            f"{name}: {p if p.numel() == 1 else p.size()}" for name, p in parameters.items()
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class ExponentialFamily(Distribution):
    """Densities `exp(t(x) . theta - F(theta) + k(x))`, of natural parameters theta.

    A subclass gives `_natural_params`, `_log_normalizer` (F) and `_mean_carrier_measure` (the mean of
    k); entropy and KL divergence follow from F's gradient (Nielsen and Nock, 2010).

    >>> from rushlight.distributions import Poisson
    >>> isinstance(Poisson(1.0), ExponentialFamily)
    True
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> float:
        raise NotImplementedError

    def _normalizer_and_means(self) -> tuple[list[Tensor], Tensor, tuple[Tensor, ...]]:
        """The natural parameters, F of them, and its gradients: the means of the statistics t."""
        parameters = [p.detach().requires_grad_() for p in self._natural_params]
        with torch.enable_grad():
            value = self._log_normalizer(*parameters)
            means = torch.autograd.grad(value.sum(), parameters, create_graph=True)
        return parameters, value, means

    def entropy(self) -> Tensor:
        """`F(theta) - theta . dF/dtheta - mean of k`."""
        carrier = self._mean_carrier_measure
        parameters, value, means = self._normalizer_and_means()
        result = value - carrier
        for p, mean in zip(parameters, means, strict=True):
            result = result - _sum_rightmost(p * mean, p.ndim - len(self._batch_shape))
        return result
