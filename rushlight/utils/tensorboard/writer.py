"""`SummaryWriter`: scalars, histograms, pictures and more into files that TensorBoard shows."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

import numpy as np

from . import arrays, messages
from .records import record

_files = count()


class FileWriter:
    """Appends events to one file in `log_dir`; writes them out as SummaryWriter says.

    >>> import os, tempfile
    >>> from rushlight.utils.tensorboard import FileWriter
    >>> writer = FileWriter(tempfile.mkdtemp())
    >>> writer.close()
    >>> os.path.basename(writer.path).startswith("events.out.tfevents")
    True
    """

    def __init__(self, log_dir: str | os.PathLike, max_queue: int = 10, flush_secs: float = 120,
                 filename_suffix: str = ""):
        self.log_dir = os.fspath(log_dir)
        os.makedirs(self.log_dir, exist_ok=True)
        name = (f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}."
                f"{next(_files)}{filename_suffix}")
        self.path = os.path.join(self.log_dir, name)
        self.max_queue, self.flush_secs = max_queue, flush_secs
        self._file = open(self.path, "ab")
        self._queue: list[bytes] = []
        self._flushed = time.monotonic()
        self.add_event(messages.event(time.time(), version="brain.Event:2"))
        self.flush()

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def add_event(self, event: bytes) -> None:
        """Append an encoded Event. ValueError after close()."""
        if self._file.closed:
            self._file = open(self.path, "ab")
        self._queue.append(record(event))
        if len(self._queue) > self.max_queue or (
                time.monotonic() - self._flushed > self.flush_secs):
            self.flush()

    def flush(self) -> None:
        """Write everything out."""
        if self._queue:
            if self._file.closed:
                self._file = open(self.path, "ab")
            self._file.write(b"".join(self._queue))
            self._file.flush()
            self._queue.clear()
        self._flushed = time.monotonic()

    reopen = flush

    def close(self) -> None:
        """Write everything out and close the file."""
        self.flush()
        self._file.close()


class SummaryWriter:
    """Writes what training wants to remember into a folder for TensorBoard.

    log_dir: the folder; `runs/<date>_<host><comment>` if not given. purge_step: what an earlier,
    crashed run wrote from this step on is hidden. max_queue: events that may wait to be written.
    flush_secs: seconds that they may wait; looked at when an event is added, since there is no thread
    behind this. filename_suffix: of the event file. Every `add_` method takes a `global_step` and a
    `walltime` (seconds since 1970; now if not given). Read the files with `read_events`.

    >>> import tempfile
    >>> from rushlight.utils.tensorboard import SummaryWriter, read_events
    >>> folder = tempfile.mkdtemp()
    >>> with SummaryWriter(folder) as writer:
    ...     for step in range(3):
    ...         writer.add_scalar("loss", torch.tensor(1.0) / (step + 1), step)
    >>> [(e.tag, e.step, round(e.value, 3)) for e in read_events(folder, "scalar")]
    [('loss', 0, 1.0), ('loss', 1, 0.5), ('loss', 2, 0.333)]
    """

    def __init__(self, log_dir: str | os.PathLike | None = None, comment: str = "",
                 purge_step: int | None = None, max_queue: int = 10, flush_secs: float = 120,
                 filename_suffix: str = ""):
        if not log_dir:
            now = time.strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = os.fspath(log_dir)
        self.purge_step, self.max_queue = purge_step, max_queue
        self.flush_secs, self.filename_suffix = flush_secs, filename_suffix
        self.file_writer: FileWriter | None = None
        self.all_writers: dict[str, FileWriter] = {}
        self._charts: dict[str, dict[str, list]] = {}
        self._get_file_writer()
        if purge_step is not None:
            self._event(messages.event(time.time(), purge_step, purge=True))

    # -- files ---------------------------------------------------------------------------------

    def _writer_of(self, folder: str) -> FileWriter:
        if folder not in self.all_writers:
            self.all_writers[folder] = FileWriter(folder, self.max_queue, self.flush_secs,
                                                  self.filename_suffix)
        return self.all_writers[folder]

    def _get_file_writer(self) -> FileWriter:
        self.file_writer = self._writer_of(self.log_dir)
        return self.file_writer

    def _event(self, event: bytes, folder: str | None = None) -> None:
        self._writer_of(folder or self.log_dir).add_event(event)

    def _add(self, summary: bytes, step: Any, walltime: float | None,
             folder: str | None = None) -> None:
        if step is not None:
            step = int(arrays.to_number(step, "global_step"))
        self._event(messages.event(time.time() if walltime is None else walltime, step,
                                   summary=summary), folder)

    def get_logdir(self) -> str:
        """The folder that is written to."""
        return self.log_dir

    def flush(self) -> None:
        """Write everything out."""
        for w in self.all_writers.values():
            w.flush()

    def close(self) -> None:
        """Write everything out and close the files; adding more opens them again."""
        for w in self.all_writers.values():
            w.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    # -- numbers -------------------------------------------------------------------------------

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None,
                   walltime: float | None = None, new_style: bool = False,
                   double_precision: bool = False) -> None:
        """One number. ValueError for more than one."""
        x = arrays.to_number(scalar_value, f"add_scalar '{tag}'")
        self._add(messages.scalar(tag, x, new_style, double_precision), global_step, walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: Mapping[str, Any],
                    global_step: Any = None, walltime: float | None = None) -> None:
        """Several numbers in one chart: each is a run of its own, in `<log_dir>/<main>_<tag>`."""
        for tag, x in tag_scalar_dict.items():
            folder = f"{self.log_dir}/{main_tag.replace('/', '_')}_{tag}"
            x = arrays.to_number(x, f"add_scalars '{main_tag}' '{tag}'")
            self._add(messages.scalar(main_tag, x), global_step, walltime, folder)

    def add_tensor(self, tag: str, tensor: Any, global_step: Any = None,
                   walltime: float | None = None) -> None:
        """A whole tensor."""
        self._add(messages.plain_tensor(tag, arrays.to_array(tensor)), global_step, walltime)

    def add_histogram(self, tag: str, values: Any, global_step: Any = None,
                      bins: Any = "tensorflow", walltime: float | None = None,
                      max_bins: int | None = None) -> None:
        """How values are distributed.

        bins: "tensorflow", a name that numpy.histogram knows, or limits. max_bins: join buckets
        until there are no more than this. ValueError for no values, NaN or infinite ones.
        """
        h = arrays.histogram(arrays.to_array(values), bins, max_bins)
        self._add(messages.histogram(tag, h), global_step, walltime)

    def add_histogram_raw(self, tag: str, min: float, max: float, num: int, sum: float,
                          sum_squares: float, bucket_limits: Iterable[float],
                          bucket_counts: Iterable[float], global_step: Any = None,
                          walltime: float | None = None) -> None:
        """A histogram whose numbers are known. bucket_limits: the upper end of each bucket."""
        limits, counts = list(bucket_limits), list(bucket_counts)
        if len(limits) != len(counts):
            raise ValueError(
                f"add_histogram_raw: {len(limits)} bucket_limits but {len(counts)} bucket_counts"
            )
        self._add(messages.histogram(tag, {
            "min": min, "max": max, "num": num, "sum": sum, "sum_squares": sum_squares,
            "bucket_limits": limits, "bucket_counts": counts}), global_step, walltime)

    def add_pr_curve(self, tag: str, labels: Any, predictions: Any, global_step: Any = None,
                     num_thresholds: int = 127, weights: Any = None,
                     walltime: float | None = None) -> None:
        """Precision and recall. labels: 0 or 1 (n,); predictions: probabilities (n,)."""
        self._add(messages.pr_curve(tag, arrays.curve(
            arrays.to_array(labels), arrays.to_array(predictions), min(num_thresholds, 127),
            None if weights is None else arrays.to_array(weights))), global_step, walltime)

    def add_pr_curve_raw(self, tag: str, true_positive_counts: Any, false_positive_counts: Any,
                         true_negative_counts: Any, false_negative_counts: Any, precision: Any,
                         recall: Any, global_step: Any = None, num_thresholds: int = 127,
                         weights: Any = None, walltime: float | None = None) -> None:
        """A precision and recall curve whose numbers are known, one for each threshold."""
        rows = [arrays.to_array(x).reshape(-1) for x in (
            true_positive_counts, false_positive_counts, true_negative_counts,
            false_negative_counts, precision, recall)]
        self._add(messages.pr_curve(tag, np.stack(rows).astype(np.float32)), global_step, walltime)

    def add_hparams(self, hparam_dict: Mapping[str, Any], metric_dict: Mapping[str, Any],
                    hparam_domain_discrete: Mapping[str, list] | None = None,
                    run_name: str | None = None, global_step: Any = None) -> None:
        """A run's hyperparameters and results, for comparing runs.

        hparam_dict: bools, numbers, texts. metric_dict: results; they are scalars as well.
        hparam_domain_discrete: the values that a hyperparameter may have. run_name: of the folder in
        log_dir. TypeError for a hyperparameter of another type.
        """
        values = {}
        for name, x in hparam_dict.items():
            if hasattr(x, "detach"):
                x = x.item()
            if not isinstance(x, (bool, int, float, str, np.number, np.bool_)) and x is not None:
                raise TypeError(
                    f"add_hparams: '{name}' should be a bool, a number or a text, not "
                    f"{type(x).__name__}"
                )
            values[name] = x
        domains = dict(hparam_domain_discrete or {})
        for name in domains:
            if name not in values:
                raise ValueError(f"add_hparams: a domain for '{name}', which is not in hparam_dict")
        now = time.time()
        folder = os.path.join(self.log_dir, run_name or str(now))
        for summary in messages.hparams(values, list(metric_dict), domains, now):
            self._add(summary, None, None, folder)
        for tag, x in metric_dict.items():
            x = arrays.to_number(x, f"add_hparams '{tag}'")
            self._add(messages.scalar(tag, x), global_step, None, folder)
        self.all_writers[folder].flush()

    # -- pictures, films, sounds, texts --------------------------------------------------------

    def add_image(self, tag: str, img_tensor: Any, global_step: Any = None,
                  walltime: float | None = None, dataformats: str = "CHW") -> None:
        """A picture: floats of [0, 1] or uint8 of [0, 255], with 1, 3 or 4 channels.

        dataformats: a letter for each dimension: CHW, HWC, HW, or with N for a grid of pictures.
        """
        a = arrays.as_hwc(img_tensor, dataformats)
        self._add(messages.image(tag, a.shape, arrays.png(a)), global_step, walltime)

    def add_images(self, tag: str, img_tensor: Any, global_step: Any = None,
                   walltime: float | None = None, dataformats: str = "NCHW") -> None:
        """A batch of pictures as a grid; else as `add_image`."""
        if isinstance(img_tensor, (list, tuple)):
            img_tensor = np.stack([arrays.to_array(x) for x in img_tensor])
        a = arrays.as_hwc(img_tensor, dataformats, "add_images")
        self._add(messages.image(tag, a.shape, arrays.png(a)), global_step, walltime)

    def add_image_with_boxes(self, tag: str, img_tensor: Any, box_tensor: Any,
                             global_step: Any = None, walltime: float | None = None,
                             rescale: float = 1, dataformats: str = "CHW",
                             labels: list[str] | str | None = None) -> None:
        """A picture with boxes (n, 4): x0, y0, x1, y1 in pixels. labels: a text for each."""
        boxes = arrays.to_array(box_tensor).reshape(-1, 4)
        labels = [labels] if isinstance(labels, str) else labels
        if labels is not None and len(labels) != len(boxes):
            raise ValueError(f"add_image_with_boxes: {len(boxes)} boxes but {len(labels)} labels")
        a = arrays.boxed(arrays.as_hwc(img_tensor, dataformats), boxes, labels)
        if rescale != 1:
            size = int(a.shape[1] * rescale), int(a.shape[0] * rescale)
            a = np.asarray(arrays.pillow().fromarray(a).resize(size))
        self._add(messages.image(tag, a.shape, arrays.png(a)), global_step, walltime)

    def add_figure(self, tag: str, figure: Any, global_step: Any = None, close: bool = True,
                   walltime: float | None = None) -> None:
        """A matplotlib figure (or a list of them) as a picture; close: give it back to pyplot."""
        figures = figure if isinstance(figure, (list, tuple)) else [figure]
        for f in figures:
            a = arrays.figure_picture(f, close)
            self._add(messages.image(tag, a.shape, arrays.png(a)), global_step, walltime)

    def add_video(self, tag: str, vid_tensor: Any, global_step: Any = None, fps: float = 4,
                  walltime: float | None = None) -> None:
        """Films (n, time, channels, height, width) side by side, as an animated GIF."""
        a = arrays.to_array(vid_tensor)
        if a.ndim != 5:
            raise ValueError(
                f"add_video: expected (n, time, channels, height, width), got shape {list(a.shape)}"
            )
        frames = arrays.to_bytes(a).transpose(1, 0, 3, 4, 2)
        frames = np.stack([arrays.grid(f) for f in frames])
        self._add(messages.image(tag, frames.shape[1:], arrays.gif(frames, fps)), global_step,
                  walltime)

    def add_audio(self, tag: str, snd_tensor: Any, global_step: Any = None,
                  sample_rate: int = 44100, walltime: float | None = None) -> None:
        """A sound: samples of [-1, 1], (n,) or (1, n); sample_rate in 1/s."""
        a = arrays.to_array(snd_tensor).squeeze()
        if a.ndim != 1:
            raise ValueError(f"add_audio: expected samples (n,), got shape {list(a.shape)}")
        self._add(messages.audio(tag, sample_rate, len(a), arrays.wav(a, sample_rate)),
                  global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step: Any = None,
                 walltime: float | None = None) -> None:
        """A text in Markdown."""
        self._add(messages.text(tag, text_string), global_step, walltime)

    # -- charts of scalars ---------------------------------------------------------------------

    def add_custom_scalars(self, layout: Mapping[str, Mapping[str, list]]) -> None:
        """Which scalars share a chart.

        layout: {category: {chart: ["Multiline", [tags]] or ["Margin", [value, lower, upper]]}}.
        TensorBoard uses the last layout of a run.
        """
        self._add(messages.layout({k: dict(v) for k, v in layout.items()}), None, None)

    def add_custom_scalars_multilinechart(self, tags: list[str], category: str = "default",
                                          title: str = "untitled") -> None:
        """One more chart with several scalars."""
        self._charts.setdefault(category, {})[title] = ["Multiline", list(tags)]
        self.add_custom_scalars(self._charts)

    def add_custom_scalars_marginchart(self, tags: list[str], category: str = "default",
                                       title: str = "untitled") -> None:
        """One more chart with a scalar between two bounds; tags: value, lower, upper."""
        self._charts.setdefault(category, {})[title] = ["Margin", list(tags)]
        self.add_custom_scalars(self._charts)

    # -- models and embeddings -----------------------------------------------------------------

    def add_graph(self, model: Any, input_to_model: Any = None, verbose: bool = False,
                  use_strict_trace: bool = True) -> None:
        """The operators of `model(*input_to_model)`, grouped by module.

        The model runs once in eval mode without gradients and is left as it was.
        """
        if input_to_model is None:
            raise ValueError("add_graph: input_to_model is needed to run the model once")
        from .graph import trace

        self._event(messages.event(time.time(), graph=trace(model, input_to_model)))

    def add_onnx_graph(self, prototxt: str) -> None:
        """Not there: raises NotImplementedError."""
        raise NotImplementedError("add_onnx_graph is not there; add_graph shows a model's graph")

    def add_mesh(self, tag: str, vertices: Any, *args: Any, **kwargs: Any) -> None:
        """Not there: raises NotImplementedError."""
        raise NotImplementedError("add_mesh is not there; draw the mesh and use add_figure")

    def add_embedding(self, mat: Any, metadata: Any = None, label_img: Any = None,
                      global_step: Any = None, tag: str = "default",
                      metadata_header: list[str] | None = None) -> None:
        """Points for TensorBoard's projector.

        mat: (n, d). metadata: n labels, or n rows of labels with `metadata_header`. label_img: n
        pictures (n, c, h, w) that are shown for the points. ValueError if the numbers differ.
        """
        a = arrays.to_array(mat)
        if a.ndim != 2:
            raise ValueError(f"add_embedding: mat should have 2 dimensions, got {list(a.shape)}")
        step = 0 if global_step is None else int(arrays.to_number(global_step, "global_step"))
        place = f"{step:05d}/{_file_name(tag)}"
        folder = os.path.join(self.log_dir, place)
        os.makedirs(folder, exist_ok=True)
        config = [f'tensor_name: "{tag}:{step:05d}"', f'tensor_path: "{place}/tensors.tsv"']
        np.savetxt(os.path.join(folder, "tensors.tsv"), a, "%.9g", "\t")
        if metadata is not None:
            labels = metadata.tolist() if hasattr(metadata, "tolist") else list(metadata)
            if len(labels) != len(a):
                raise ValueError(f"add_embedding: {len(a)} points but {len(labels)} labels")
            rows = [list(r) if isinstance(r, (list, tuple)) else [r] for r in labels]
            rows = [list(metadata_header), *rows] if metadata_header else rows
            with open(os.path.join(folder, "metadata.tsv"), "w", encoding="utf-8") as f:
                for row in rows:
                    f.write("\t".join(_cell(x) for x in row) + "\n")
            config.append(f'metadata_path: "{place}/metadata.tsv"')
        if label_img is not None:
            pictures = arrays.to_array(label_img)
            if len(pictures) != len(a):
                raise ValueError(f"add_embedding: {len(a)} points but {len(pictures)} pictures")
            side = int(np.ceil(np.sqrt(len(pictures))))
            sheet = arrays.grid(arrays.to_bytes(pictures).transpose(0, 2, 3, 1), side)
            height, width = side * pictures.shape[2], side * pictures.shape[3]
            whole = np.zeros((height, width, sheet.shape[2]), np.uint8)  # the projector wants a square
            whole[: sheet.shape[0]] = sheet
            with open(os.path.join(folder, "sprite.png"), "wb") as f:
                f.write(arrays.png(whole))
            config.append(
                f'sprite {{\n  image_path: "{place}/sprite.png"\n  '
                f"single_image_dim: {pictures.shape[3]}\n  single_image_dim: {pictures.shape[2]}\n}}"
            )
        block = "embeddings {\n" + "\n".join(config) + "\n}\n"
        path = os.path.join(self.log_dir, "projector_config.pbtxt")
        before = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                before = f.read()
        if block not in before:
            with open(path, "w", encoding="utf-8") as f:
                f.write(before + block)


def _cell(x: Any) -> str:
    return str(x).replace("\t", " ").replace("\n", " ")


def _file_name(tag: str) -> str:
    keep: Callable[[str], bool] = lambda c: c.isalnum() or c in "-_."
    return "".join(c if keep(c) else f"%{ord(c):02x}" for c in tag)
