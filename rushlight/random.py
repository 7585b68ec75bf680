"""torch.random: seeds and states of the default generator."""

from __future__ import annotations

import contextlib

from .trace.generator import Generator, default_generator


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; returns it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator was started from."""
    return default_generator.initial_seed()


def get_rng_state():
    """The default generator's state, a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state) -> None:
    """Set the default generator's state."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices=None, enabled: bool = True, *_args, **_kwargs):
    """Inside, the default generator may be used; afterwards its state is as before.

    >>> _ = torch.manual_seed(0)
    >>> with torch.random.fork_rng():
    ...     unseen = torch.rand(1)
    >>> torch.rand(1)
    tensor([0.4963])
    """
    state = get_rng_state() if enabled else None
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)


def thread_safe_generator() -> Generator | None:
    """The generator of this thread where it is a worker's; None: functions then use the default one."""
    return None


__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]
