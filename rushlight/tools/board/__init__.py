"""The training dashboard: `Recorder` writes what a run does into its folder, `rushlight board FOLDER` shows it.

In: losses and metrics, and what the recorder sees by itself. Between: event files that TensorBoard reads too, and
two JSON files. Out: a page on this machine. Read `recorder.py` (what is written), `runs.py` (how it is read),
`server.py` (what the page asks for), then `static/`.
"""

from .recorder import Recorder

__all__ = ["Recorder"]
