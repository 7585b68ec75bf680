"""Instance normalisation: each channel of each example on its own."""

from __future__ import annotations

import warnings
from typing import Any

from rushlight.nn import functional as F
from rushlight.trace.tensor import Tensor

from .batchnorm import _LazyNormBase, _NormBase

__all__ = [
    "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LazyInstanceNorm1d",
    "LazyInstanceNorm2d", "LazyInstanceNorm3d",
]  # fmt: skip


class _InstanceNorm(_NormBase):
    _dimensions: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def _check_input_dim(self, input: Tensor) -> None:
        unbatched = self._dimensions + 1
        if input.ndim not in (unbatched, unbatched + 1):
            raise ValueError(
                f"expected {unbatched}D or {unbatched + 1}D input (got {input.ndim}D input)"
            )

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        version = local_metadata.get("version", None)
        if version is None and not self.track_running_stats:
            names = [
                prefix + n for n in ("running_mean", "running_var") if prefix + n in state_dict
            ]
            if names:
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {' and '.join(map(repr, names))} for "
                    f"{type(self).__name__} with track_running_stats=False: remove them from the "
                    "state_dict or make the layer with track_running_stats=True."
                )
                for name in names:
                    state_dict.pop(name)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        unbatched = input.ndim == self._dimensions + 1
        channels = 0 if unbatched else 1
        if input.shape[channels] != self.num_features:
            message = (
                f"expected input's size at dim={channels} to match num_features "
                f"({self.num_features}), but got: {input.shape[channels]}."
            )
            if self.affine:
                raise ValueError(message)
            warnings.warn(
                f"input's size at dim={channels} does not match num_features. You can silence this "
                "warning by not passing in num_features, which is not used because affine=False",
                stacklevel=3,
            )
        if unbatched:
            input = input.unsqueeze(0)
        momentum = self.momentum if self.momentum is not None else 0.0
        output = F.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            momentum,
            self.eps,
        )
        return output.squeeze(0) if unbatched else output


class InstanceNorm1d(_InstanceNorm):
    """`y = (x - mean) / sqrt(var + eps)` for each channel of each example of (N, C, L) or (C, L).

    num_features: C. affine: with `weight` and `bias` (C,). track_running_stats: keep running
    statistics and use them in evaluation. Raises ValueError for other shapes, or one value a
    channel in training. Ulyanov et al., 2016.

    >>> nn.InstanceNorm1d(2)(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 9.0]]))
    tensor([[-1.2247,  0.0000,  1.2247],
            [-0.7071, -0.7071,  1.4142]])
    """
    _dimensions = 1


class InstanceNorm2d(_InstanceNorm):
    """As `InstanceNorm1d` for (N, C, H, W) or (C, H, W).

    >>> norm = nn.InstanceNorm2d(3, affine=True)
    >>> norm(torch.rand(2, 3, 4, 4)).shape, norm.weight.shape
    (torch.Size([2, 3, 4, 4]), torch.Size([3]))
    """
    _dimensions = 2


class InstanceNorm3d(_InstanceNorm):
    """As `InstanceNorm1d` for (N, C, D, H, W) or (C, D, H, W).

    >>> nn.InstanceNorm3d(2)(torch.rand(2, 2, 3, 4, 4)).shape
    torch.Size([2, 2, 3, 4, 4])
    """
    _dimensions = 3


class _LazyInstanceNorm(_LazyNormBase):
    def initialize_parameters(self: Any, input: Tensor) -> None:  # type: ignore[override]
        """Make weights and statistics for inputs with this many channels."""
        batched = input.ndim == self._dimensions + 2
        super().initialize_parameters(input if batched else input.unsqueeze(0))


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """An `InstanceNorm1d` that takes `num_features` from its first input.

    >>> norm = nn.LazyInstanceNorm1d()
    >>> norm(torch.rand(4, 3, 5)).shape, norm.num_features
    (torch.Size([4, 3, 5]), 3)
    """

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """An `InstanceNorm2d` that takes `num_features` from its first input.

    >>> norm = nn.LazyInstanceNorm2d()
    >>> norm(torch.rand(4, 3, 2, 2)).shape, norm.num_features
    (torch.Size([4, 3, 2, 2]), 3)
    """

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """An `InstanceNorm3d` that takes `num_features` from its first input.

    >>> norm = nn.LazyInstanceNorm3d()
    >>> norm(torch.rand(4, 3, 2, 2, 2)).shape, norm.num_features
    (torch.Size([4, 3, 2, 2, 2]), 3)
    """

    cls_to_become = InstanceNorm3d
