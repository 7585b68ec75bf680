"""`nans()`: stop at the operation that made the first NaN, before a parameter gets it."""

from __future__ import annotations

import sys
import warnings

from ..interpret import measure, tier0
from ..interpret.nans import NanError, Tracker
from ..trace.record import site
from ..trace.segments import flush
from ..trace.traceback import PACKAGE
from ..trace.trie import RECORDER, place


class _Tracker(Tracker):
    """The tracker that knows lines and warns."""

    def place(self, node) -> str:
        where = RECORDER.tr.sweeping or site(2) if node is None else node.site
        return "" if where is None else "\n  (recorded at {}:{})".format(*place(*where))

    def warn(self, text: str) -> None:
        frame, level = sys._getframe(1), 2
        while frame.f_back is not None and frame.f_code.co_filename.startswith((PACKAGE, "<rushlight")):
            frame, level = frame.f_back, level + 1
        warnings.warn(text, RuntimeWarning, stacklevel=level)


class nans:
    """Inside of this block, an operation that makes a NaN of operands without one raises NanError.

    The error is raised where the result is needed, by `optimizer.step()` before any parameter is written, and
    names the operation, its line (for gradients, that of `backward()`), operands and result. A NaN in data from
    outside gives a RuntimeWarning, once. Infinities are no errors, nor are NaNs that nothing keeps, such
    as those that `torch.where` masks.

    Compiled programs look at samples of gradients and results (256 to 1024, all of a small array), which costs
    about 1 % of a step: a NaN spreads to whole rows with the next product. What they find is traced by running
    the program once more in tier 0, where each operation is looked at. A block's programs are compiled for it once.
    RUSHLIGHT_NANS=1 tracks the whole process, all threads.

    >>> x = torch.tensor([4.0, -1.0], requires_grad=True)
    >>> try:
    ...     with torch.tools.nans():
    ...         x.sqrt().sum().item()
    ... except torch.tools.NanError as error:
    ...     print(str(error).splitlines()[0])
    'sqrt' made a NaN of operands that have none: sqrt(-1) at [1]
    """

    _depth = 0  # blocks that are open, in all threads

    def __enter__(self):
        flush()
        if not nans._depth:
            tier0.NANS[0] = _Tracker()
            measure.watch(tier0.NANS[0])
        nans._depth += 1
        return self

    def __exit__(self, kind, error, traceback):
        try:
            flush()
        except NanError:
            if kind is None:  # else the block's own error is told
                raise
        finally:
            nans._depth -= 1
            if not nans._depth:
                measure.unwatch(tier0.NANS[0])
                tier0.NANS[0] = None


__all__ = ["NanError", "nans"]
