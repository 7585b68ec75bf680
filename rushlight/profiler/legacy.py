"""torch.autograd.profiler.profile: the older constructor of the same profiler."""

from __future__ import annotations

from typing import Any

from . import profile as _profile
from .events import EventList, FunctionEventAvg


class profile(_profile):
    """`torch.profiler.profile` as it was called before; enabled: False measures nothing.

    >>> with torch.autograd.profiler.profile() as prof:
    ...     y = torch.ones(3).sum().item()
    >>> prof.total_average().count > 0
    True
    """

    def __init__(self, enabled: bool = True, *, use_cuda: bool = False, use_device: Any = None,
                 record_shapes: bool = False, with_flops: bool = False,
                 profile_memory: bool = False, with_stack: bool = False,
                 with_modules: bool = False, use_kineto: bool = False, use_cpu: bool = True,
                 experimental_config: Any = None, acc_events: bool = False,
                 custom_trace_id_callback: Any = None):
        super().__init__(record_shapes=record_shapes, with_flops=with_flops,
                         profile_memory=profile_memory, with_stack=with_stack,
                         acc_events=acc_events)
        self.enabled = enabled

    def start(self) -> None:
        if self.enabled:
            super().start()

    @property
    def function_events(self) -> EventList:
        """All events."""
        return self.events()

    def total_average(self) -> FunctionEventAvg:
        """One sum of everything."""
        return self.events().total_average()
