"""Tracebacks end on the user's line: this package's innermost frames are left out when shown.

The hook of uncaught errors does it for scripts, the `__tracebackhide__` mark for pytest. All frames are
shown with RUSHLIGHT_TRACEBACK=1.
"""

from __future__ import annotations

import os
import sys

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHOW_INTERNAL = bool(os.environ.get("RUSHLIGHT_TRACEBACK"))


def is_internal(filename: str) -> bool:
    """Whether code of this file records or computes (layers and optimisers are the user's side)."""
    return filename.startswith((
        "<rushlight",
        os.path.join(PACKAGE, "trace"),
        os.path.join(PACKAGE, "ops"),
        os.path.join(PACKAGE, "interpret"),
        os.path.join(PACKAGE, "compile"),
        os.path.join(PACKAGE, "runtime"),
    ))


def trimmed(tb):
    """A traceback up to its last frame outside of this package's inside; `tb` if there is none."""
    entries = []
    while tb is not None:
        entries.append(tb)
        tb = tb.tb_next
    end = len(entries)
    while end and is_internal(entries[end - 1].tb_frame.f_code.co_filename):
        end -= 1
    rest = None
    for entry in reversed(entries[: end or len(entries)]):
        rest = type(entry)(rest, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return rest


def install() -> None:
    """Show uncaught errors so, unless another library shows them in its own way."""
    if SHOW_INTERNAL:
        return
    for name, module in list(sys.modules.items()):
        if name.startswith(("rushlight.trace", "rushlight.ops", "rushlight.interpret")):
            module.__dict__["__tracebackhide__"] = True
    if sys.excepthook is not sys.__excepthook__:
        return

    def show(kind, error, tb):
        sys.__excepthook__(kind, error.with_traceback(trimmed(tb)), trimmed(tb))

    sys.excepthook = show
