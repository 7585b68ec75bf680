"""torch.utils.tensorboard: event files, written and read without TensorFlow or TensorBoard.

In: scalars, histograms, pictures, texts, graphs. Out: TFRecord files of Event messages. Read `writer.py`
(the interface), `messages.py` (what goes into the file), `wire.py` and `records.py` (its format).
"""

from .reader import Event, read_events
from .writer import FileWriter, SummaryWriter

__all__ = ["Event", "FileWriter", "SummaryWriter", "read_events"]
