"""Pruning: setting parts of a parameter to zero by a mask that is kept beside it."""

from __future__ import annotations

import numbers
from typing import Any

import rushlight
from rushlight.trace.tensor import Tensor

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured",
    "RandomStructured", "RandomUnstructured", "custom_from_mask",
    "global_unstructured", "identity", "is_pruned", "l1_unstructured", "ln_structured",
    "random_structured", "random_unstructured", "remove",
]  # fmt: skip


def _count(amount: float, size: int) -> int:
    """How many of `size` units to prune: a number of them, or a fraction."""
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if isinstance(amount, numbers.Integral):
        if amount < 0:
            raise ValueError(f"amount={amount} should be a non-negative integer")
        if amount > size:
            raise ValueError(
                f"amount={amount} should be smaller than the number of parameters to prune={size}"
            )
        return int(amount)
    if not 0.0 <= float(amount) <= 1.0:
        raise ValueError(f"amount={amount} should be a float in the range [0, 1]")
    return round(float(amount) * size)


class BasePruningMethod:
    """A way to choose what to prune; as a hook it masks the parameter before each call.

    Subclasses give `PRUNING_TYPE` and `compute_mask(t, default_mask)`: ones where `t` is kept.

    >>> from rushlight.nn.utils import prune
    >>> class Negative(prune.BasePruningMethod):
    ...     PRUNING_TYPE = "unstructured"
    ...     def compute_mask(self, t, default_mask):
    ...         return default_mask * (t >= 0)
    >>> layer = nn.Linear(3, 2)
    >>> _ = Negative.apply(layer, "weight")
    >>> (layer.weight >= 0).all()
    tensor(True)
    """

    _tensor_name: str
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """A mask for scores `t`: 0 where to prune, 1 elsewhere, within `default_mask`."""
        raise NotImplementedError

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    def apply_mask(self, module: Any) -> Tensor:
        """The masked parameter."""
        name = self._tensor_name
        mask = getattr(module, name + "_mask")
        original = getattr(module, name + "_orig")
        return mask.to(original.dtype) * original

    @classmethod
    def apply(
        cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any
    ) -> Any:
        """Prune `module.<name>`, on top of what has been pruned before; returns the method."""
        method = cls(*args, **kwargs)
        method._tensor_name = name
        old = None
        for key, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
                old = hook
                del module._forward_pre_hooks[key]
        if old is None:
            original = getattr(module, name)
            del module._parameters[name]
            module.register_parameter(name + "_orig", original)
            default = rushlight.ones_like(original, requires_grad=False)
        else:
            original = getattr(module, name + "_orig")
            default = getattr(module, name + "_mask").detach().clone()
        scores = original.detach() if importance_scores is None else importance_scores
        mask = method.compute_mask(scores, default)
        if old is None:
            module.register_buffer(name + "_mask", mask)
        else:
            setattr(module, name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(
        self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Any = None
    ) -> Tensor:
        """A pruned copy of `t`."""
        scores = t if importance_scores is None else importance_scores
        default = rushlight.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default)

    def remove(self, module: Any) -> None:
        """Make the masked value the parameter."""
        name = self._tensor_name
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(name + "_orig")
        del module._buffers[name + "_mask"]
        with rushlight.no_grad():
            original.data = weight.detach()
        setattr(module, name, original)


class Identity(BasePruningMethod):
    """Prunes nothing; makes room for a mask.

    >>> from rushlight.nn.utils import prune
    >>> layer = prune.identity(nn.Linear(3, 2), "bias")
    >>> layer.bias_mask
    tensor([1., 1.])
    """

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class _Amount(BasePruningMethod):
    def __init__(self, amount: float) -> None:
        _count(amount, 1 << 62)
        self.amount = amount

    def _scores(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Drops the lowest scores among what is left."""
        left = int((default_mask != 0).sum())
        count = _count(self.amount, left)
        if count == 0:
            return default_mask
        scores = self._scores(t).masked_fill(default_mask == 0, float("inf")).reshape(-1)
        lowest = scores.topk(count, largest=False).indices
        return default_mask.reshape(-1).index_fill(0, lowest, 0).reshape(default_mask.shape)


class L1Unstructured(_Amount):
    """Prunes the elements with the smallest magnitude.

    amount: their number, or their share in [0, 1].

    >>> from rushlight.nn.utils import prune
    >>> pruning = prune.L1Unstructured(amount=0.5)
    >>> pruning.prune(torch.tensor([1.0, -4.0, 3.0, 0.5]))
    tensor([ 0., -4.,  3.,  0.])
    """

    def _scores(self, t: Tensor) -> Tensor:
        return t.abs()


class RandomUnstructured(_Amount):
    """Prunes random elements.

    amount: their number, or their share in [0, 1].

    >>> from rushlight.nn.utils import prune
    >>> (prune.RandomUnstructured(amount=2).prune(torch.ones(5)) == 0).sum()
    tensor(2)
    """

    def _scores(self, t: Tensor) -> Tensor:
        return rushlight.rand(t.shape)


class RandomStructured(BasePruningMethod):
    """Prunes random whole slices along `dim`.

    amount: their number, or their share in [0, 1].

    >>> from rushlight.nn.utils import prune
    >>> prune.RandomStructured(amount=2, dim=0).prune(torch.ones(3, 2)).sum()
    tensor(2.)
    """

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        _count(amount, 1 << 62)
        self.amount = amount
        self.dim = dim

    def _scores(self, slices: Tensor) -> Tensor:
        return rushlight.rand(len(slices))

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Drops slices of `t`."""
        dim = self.dim % t.ndim
        size = t.shape[dim]
        count = _count(self.amount, size)
        if count == 0:
            return default_mask
        scores = self._scores(t.movedim(dim, 0).reshape(size, -1))
        lowest = scores.topk(count, largest=False).indices
        return default_mask.index_fill(dim, lowest, 0)


class LnStructured(RandomStructured):
    """Prunes whole slices along `dim` with the smallest n-norms.

    amount: their number, or their share in [0, 1].

    >>> from rushlight.nn.utils import prune
    >>> prune.LnStructured(amount=1, n=2, dim=0).prune(torch.tensor([[3., 4.], [0., 1.]]))
    tensor([[3., 4.],
            [0., 0.]])
    """

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _scores(self, slices: Tensor) -> Tensor:
        return slices.norm(self.n, dim=1)


class CustomFromMask(BasePruningMethod):
    """Prunes by a given mask.

    >>> from rushlight.nn.utils import prune
    >>> mask = torch.tensor([1.0, 0.0, 1.0])
    >>> prune.CustomFromMask(mask).prune(torch.tensor([5.0, 6.0, 7.0]))
    tensor([5., 0., 7.])
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Both masks together."""
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Any, name: str) -> Any:
    """Give `module.<name>` a mask of ones; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: float) -> Any:
    """Prune `amount` (a number or fraction) random elements; returns the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: float, importance_scores: Any = None) -> Any:
    """Prune the `amount` elements with the smallest magnitude; returns the module."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: float, dim: int) -> Any:
    """Prune `amount` random slices along `dim`; returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Any, name: str, amount: float, n: Any, dim: int, importance_scores: Any = None
) -> Any:
    """Prune the `amount` slices along `dim` with the smallest n-norm; returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Any, name: str, mask: Tensor) -> Any:
    """Prune by a given mask; returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Any, pruning_method: type, importance_scores: Any = None, **kwargs: Any
) -> None:
    """Prune several parameters, pairs of module and name, as if they were one vector."""
    parameters = list(parameters)
    tensors = [getattr(m, n + "_orig", None) for m, n in parameters]
    tensors = [getattr(m, n) if t is None else t for t, (m, n) in zip(tensors, parameters)]
    scores = importance_scores or {}
    flat = rushlight.cat(
        [scores.get(p, t).detach().reshape(-1) for t, p in zip(tensors, parameters)]
    )
    masks = [getattr(m, n + "_mask", None) for m, n in parameters]
    default = rushlight.cat([
        rushlight.ones(t.numel()) if mask is None else mask.reshape(-1)
        for t, mask in zip(tensors, masks)
    ])  # fmt: skip
    mask = pruning_method(**kwargs).compute_mask(flat, default)
    start = 0
    for (module, name), t in zip(parameters, tensors):
        custom_from_mask(module, name, mask[start : start + t.numel()].reshape(t.shape))
        start += t.numel()


def remove(module: Any, name: str) -> Any:
    """Make pruning permanent: the masked value becomes the parameter; returns the module."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(
        f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
    )


def is_pruned(module: Any) -> bool:
    """Whether any parameter of the module or below is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for m in module.modules()
        for hook in m._forward_pre_hooks.values()
    )
