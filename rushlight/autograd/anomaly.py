"""Anomaly detection: stop at the first gradient rule that returns NaN."""

from __future__ import annotations

from ..trace.sweep import ANOMALY

_mode = [False, True]  # (on, whether it looks for NaN), as they were asked for


def _switch(on: bool, check_nan: bool) -> None:
    _mode[:] = on, check_nan
    ANOMALY[0] = on and check_nan


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on.

    >>> with torch.autograd.detect_anomaly(check_nan=False):
    ...     torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    (True, False)
    """
    return _mode[0]


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection, when it is on, looks for NaN."""
    return _mode[1]


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Switch anomaly detection on or off, as `set_detect_anomaly` does."""
    _switch(bool(enabled), check_nan)


class set_detect_anomaly:
    """Switch anomaly detection on or off, at once and, as a context manager, until its end.

    >>> x = torch.zeros(1, requires_grad=True)
    >>> with torch.autograd.set_detect_anomaly(False):
    ...     (x.sqrt() * 0).sum().backward()
    >>> x.grad
    tensor([nan])
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self.previous = tuple(_mode)
        _switch(bool(mode), check_nan)

    def __enter__(self):
        return None

    def __exit__(self, *error):
        _switch(*self.previous)


class detect_anomaly:
    """Inside, backward() raises RuntimeError naming the function that returned NaN and its line.

    Every gradient is computed and read at once: for debugging only.

    >>> x = torch.zeros(1, requires_grad=True)
    >>> try:
    ...     with torch.autograd.detect_anomaly():
    ...         (x.sqrt() * 0).sum().backward()
    ... except RuntimeError as error:
    ...     print(str(error).split(".")[0])
    Function 'SqrtBackward0' returned nan values in its 0th output
    """

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan

    def __enter__(self):
        self.previous = tuple(_mode)
        _switch(True, self.check_nan)

    def __exit__(self, *error):
        _switch(*self.previous)
