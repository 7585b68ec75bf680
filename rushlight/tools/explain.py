"""`explain()`: what ran inside a with block, and why."""

from __future__ import annotations

from ..trace.segments import flush
from ..trace.trie import Stats


class explain:
    """Count what the trace does inside a with block; `str()` of it is a short report.

    >>> for _ in range(3):
    ...     with torch.explain() as report:
    ...         y = (torch.ones(3) * 2).sum().item()
    >>> report.counts["misses"], report.counts["programs"]
    (0, 0)
    """

    def __enter__(self):
        flush()
        self.before = Stats.snapshot()
        self.counts: dict[str, int] = {}
        return self

    def __exit__(self, *error):
        flush()
        after = Stats.snapshot()
        self.counts = {k: after[k] - self.before[k] for k in after}

    def __str__(self) -> str:
        c = self.counts
        return (
            f"{c['misses']} operations seen for the first time (run at once), "
            f"{c['flushes']} programs run, {c['programs']} of them new, "
            f"{c['prunes']} prunings of the trie; the trie grew by {c['nodes']} nodes"
        )
