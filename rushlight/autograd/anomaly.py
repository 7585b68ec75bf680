"""Anomaly detection: stop at the first gradient rule that returns NaN."""

from __future__ import annotations

from ..trace.engine import ANOMALY


class set_detect_anomaly:
    """Switch anomaly detection on or off, at once and, as a context manager, until its end.

    >>> x = torch.zeros(1, requires_grad=True)
    >>> with torch.autograd.set_detect_anomaly(False):
    ...     (x.sqrt() * 0).sum().backward()
    >>> x.grad
    tensor([nan])
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self.previous = ANOMALY[0]
        ANOMALY[0] = bool(mode) and check_nan

    def __enter__(self):
        return None

    def __exit__(self, *error):
        ANOMALY[0] = self.previous


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
        self.previous = ANOMALY[0]
        ANOMALY[0] = self.check_nan

    def __exit__(self, *error):
        ANOMALY[0] = self.previous
