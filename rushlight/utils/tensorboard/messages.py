"""The messages of event files (tensorflow/core/framework/summary.proto and others) as bytes.

Each function makes one message; the numbers are the fields' numbers in the .proto files.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .wire import data, double, doubles, entry, integer, single

FLOAT, DOUBLE, STRING = 1, 2, 7  # of DataType
TYPES = {"float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int64": 9, "bool": 10}


def event(wall_time: float, step: int | None = None, *, summary: bytes | None = None,
          version: str | None = None, graph: bytes | None = None,
          purge: bool = False) -> bytes:
    """Event: one record of the file."""
    out = double(1, wall_time)
    if step is not None:
        out += integer(2, step)
    if version is not None:
        out += data(3, version)
    if graph is not None:
        out += data(4, graph)
    if summary is not None:
        out += data(5, summary)
    if purge:
        out += data(7, integer(1, 1))  # SessionLog.START: what came later before is dropped
    return out


def metadata(plugin: str, content: bytes = b"", description: str = "") -> bytes:
    """SummaryMetadata: which part of TensorBoard a value belongs to."""
    name = data(1, plugin) + (data(2, content) if content else b"")
    return data(1, name) + (data(3, description) if description else b"")


def value(tag: str, body: bytes, about: bytes | None = None) -> bytes:
    """Summary with one value; body: the field of its content."""
    return data(1, data(1, tag) + body + (data(9, about) if about is not None else b""))


def tensor(a: np.ndarray) -> bytes:
    """TensorProto of an array."""
    kind = TYPES.get(a.dtype.name)
    if kind is None:
        raise ValueError(f"event files have no tensors of dtype {a.dtype.name}")
    shape = b"".join(data(2, integer(1, n)) for n in a.shape)
    return integer(1, kind) + data(2, shape) + data(4, np.ascontiguousarray(a).tobytes())


def strings(texts: list[bytes]) -> bytes:
    """TensorProto of texts, with one dimension."""
    return (integer(1, STRING) + data(2, data(2, integer(1, len(texts))))
            + b"".join(data(8, t) for t in texts))


def scalar(tag: str, x: float, new_style: bool = False, double_precision: bool = False) -> bytes:
    if new_style or double_precision:
        a = np.array(x, np.float64 if double_precision else np.float32)
        return value(tag, data(8, tensor(a)), metadata("scalars"))
    return value(tag, single(2, x))


def histogram(tag: str, h: dict) -> bytes:
    body = (double(1, h["min"]) + double(2, h["max"]) + double(3, h["num"]) + double(4, h["sum"])
            + double(5, h["sum_squares"]) + doubles(6, h["bucket_limits"])
            + doubles(7, h["bucket_counts"]))
    return value(tag, data(5, body))


def image(tag: str, shape: tuple, encoded: bytes) -> bytes:
    """shape: height, width, channels."""
    return value(tag, data(4, integer(1, shape[0]) + integer(2, shape[1]) + integer(3, shape[2])
                           + data(4, encoded)))


def audio(tag: str, rate: int, frames: int, encoded: bytes) -> bytes:
    return value(tag, data(6, single(1, rate) + integer(2, 1) + integer(3, frames)
                           + data(4, encoded) + data(5, "audio/wav")))


def text(tag: str, words: str) -> bytes:
    return value(f"{tag}/text_summary", data(8, strings([words.encode()])), metadata("text"))


def pr_curve(tag: str, a: np.ndarray) -> bytes:
    return value(tag, data(8, tensor(a)), metadata("pr_curves", integer(2, a.shape[1])))


def plain_tensor(tag: str, a: np.ndarray) -> bytes:
    return value(tag, data(8, tensor(a)), metadata("tensor"))


# ---------------------------------------------------------------- custom scalars


def layout(categories: dict[str, dict[str, list]]) -> bytes:
    """{category: {chart: ["Multiline", [tags]] or ["Margin", [value, lower, upper]]}}."""
    out = b""
    for title, charts in categories.items():
        body = data(1, title)
        for name, (kind, tags) in charts.items():
            chart = data(1, name)
            if kind == "Margin":
                if len(tags) != 3:
                    raise ValueError(
                        f"custom scalars: margin chart '{name}' needs the tags of value, lower and "
                        f"upper bound, got {len(tags)}"
                    )
                series = b"".join(data(n, t) for n, t in enumerate(tags, 1))
                chart += data(3, data(1, series))
            elif kind == "Multiline":
                chart += data(2, b"".join(data(1, t) for t in tags))
            else:
                raise ValueError(
                    f"custom scalars: chart '{name}' should be 'Multiline' or 'Margin', got '{kind}'"
                )
            body += data(2, chart)
        out += data(2, body)
    return value("custom_scalars__config__", data(8, strings([out])), metadata("custom_scalars"))


# ---------------------------------------------------------------- hyperparameters


def struct_value(x: Any) -> bytes:
    """google.protobuf.Value of a bool, a number or a text."""
    if isinstance(x, (bool, np.bool_)):
        return integer(4, bool(x))
    if isinstance(x, (int, float, np.number)):
        return double(2, float(x))
    return data(3, str(x))


def hparams(values: dict[str, Any], metrics: list[str], domains: dict[str, list],
            start: float) -> list[bytes]:
    """The three summaries of a run: what is compared, its start with its values, its end."""
    infos = b""
    for name, x in values.items():
        kind = 2 if isinstance(x, (bool, np.bool_)) else 3 if isinstance(
            x, (int, float, np.number)) else 1
        info = data(1, name) + integer(4, kind)
        if name in domains:
            info += data(5, b"".join(data(1, struct_value(d)) for d in domains[name]))
        infos += data(4, info)
    for tag in metrics:
        infos += data(5, data(1, data(2, tag)))
    begin = b"".join(entry(1, n, struct_value(x)) for n, x in values.items()) + double(5, start)
    done = integer(1, 1) + double(2, start)
    return [
        value(f"_hparams_/{name}", b"", metadata("hparams", data(number, body)))
        for name, number, body in (
            ("experiment", 2, infos), ("session_start_info", 3, begin), ("session_end_info", 4, done))
    ]


# ---------------------------------------------------------------- graphs


def node(name: str, op: str, inputs: list[str], shapes: list[tuple] | None, note: str = "") -> bytes:
    """NodeDef of a graph; shapes: of its outputs."""
    out = data(1, name) + data(2, op) + b"".join(data(3, i) for i in inputs)
    if shapes:
        listed = b"".join(data(7, b"".join(data(2, integer(1, n)) for n in s)) for s in shapes)
        out += entry(5, "_output_shapes", data(1, listed))
    if note:
        out += entry(5, "attr", data(2, note))
    return out


def graph(nodes: list[bytes]) -> bytes:
    """GraphDef."""
    return b"".join(data(1, n) for n in nodes) + data(4, integer(1, 22))
