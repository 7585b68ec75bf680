"""Anomaly detection: stop at the first gradient rule that returns NaN."""

from __future__ import annotations

from ..trace.engine import ANOMALY


class set_detect_anomaly:
    """Switch anomaly detection on or off, at once and, as a context manager, until its end."""

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
    """

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan

    def __enter__(self):
        self.previous = ANOMALY[0]
        ANOMALY[0] = self.check_nan

    def __exit__(self, *error):
        ANOMALY[0] = self.previous
