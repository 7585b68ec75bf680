"""The sampler for several processes that train together."""

from __future__ import annotations

import importlib
import math

from .sampler import Sampler, T


def _group():
    """`rushlight.distributed`; RuntimeError where there is none."""
    try:
        group = importlib.import_module("rushlight.distributed")
    except ImportError:
        group = None
    if group is None or not group.is_available():
        raise RuntimeError("Requires distributed package to be available")
    return group


class DistributedSampler(Sampler[T]):
    """The part of a data set's indices that belongs to one of several processes.

    num_replicas, rank: how many processes and which one; from the process group if None. shuffle: in an
    order made of `seed` and the epoch (`set_epoch`), the same in all processes. drop_last: leave out
    what cannot be divided evenly; otherwise indices from the beginning are added.

    Raises ValueError for a rank outside of [0, num_replicas), RuntimeError without a process group.

    >>> list(torch.utils.data.DistributedSampler(range(7), num_replicas=2, rank=1, shuffle=False))
    [1, 3, 5, 0]
    """

    def __init__(self, dataset, num_replicas: int | None = None, rank: int | None = None,
                 shuffle: bool = True, seed: int = 0, drop_last: bool = False):
        if num_replicas is None:
            num_replicas = _group().get_world_size()
        if rank is None:
            rank = _group().get_rank()
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
            )
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        n = len(dataset)
        self.num_samples = n // num_replicas if drop_last else math.ceil(n / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self):
        from ...ops.random import randperm
        from ...trace.generator import Generator

        n = len(self.dataset)
        order = list(range(n))
        if self.shuffle:
            generator = Generator()
            generator.manual_seed(self.seed + self.epoch)
            order = randperm(n, generator=generator).tolist()
        if len(order) < self.total_size:
            order = (order * math.ceil(self.total_size / max(1, n)))[: self.total_size]
        order = order[: self.total_size]
        if len(order) != self.total_size:
            raise AssertionError(
                f"Number of indices ({len(order)}) does not match total_size ({self.total_size})"
            )
        return iter(order[self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; call it before each one."""
        self.epoch = epoch


__all__ = ["DistributedSampler"]
