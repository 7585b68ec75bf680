"""How tensors print: PyTorch's `repr`, and `set_printoptions`.

`tensor_str` reads the values, chooses one number format for all of them (`Format`) and lays the
elements out in nested brackets, leaving out the middle of large tensors.
"""

from __future__ import annotations

import math

import numpy as np

from .trace import array, dtypes

PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}
options = {**PROFILES["default"], "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print; what is None stays.

    precision: digits after the point. threshold: the middle of tensors with more elements is left out.
    edgeitems: how many items are shown at each end then. linewidth: characters in a line. profile:
    "default", "short" or "full" set all of these. sci_mode: always or never use 1.0000e+00; None
    decides from the values. Raises ValueError for other profiles.
    """
    if profile is not None:
        if profile not in PROFILES:
            raise ValueError(f"profile must be one of {list(PROFILES)}, got {profile!r}")
        options.update(PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems,
             "linewidth": linewidth}
    options.update({k: v for k, v in given.items() if v is not None})
    options["sci_mode"] = sci_mode


def get_printoptions() -> dict:
    """The settings of `set_printoptions`."""
    return dict(options)


class Format:
    """One format for all elements: whether they are whole numbers, scientific, and how wide.

    Scientific when the largest magnitude is over 1000 times the smallest or over 1e8, or the
    smallest of numbers that are not whole is under 1e-4. Zeros and non-finite numbers do not count.
    """

    def __init__(self, values: np.ndarray):
        self.floating = values.dtype.kind == "f"
        self.width = 1
        self.whole = True
        self.scientific = False
        if not self.floating:
            self.width = max([1, *(len(str(v)) for v in values.reshape(-1).tolist())])
            return
        values = values.astype(np.float64).reshape(-1)
        counted = values[np.isfinite(values) & (values != 0)]
        if counted.size:
            magnitudes = np.abs(counted)
            low, high = magnitudes.min(), magnitudes.max()
            self.whole = bool((counted == np.ceil(counted)).all())
            with np.errstate(over="ignore"):
                self.scientific = bool(
                    high / low > 1000.0 or high > 1.0e8 or (not self.whole and low < 1.0e-4)
                )
            if options["sci_mode"] is not None:
                self.scientific = options["sci_mode"]
            self.width = max(len(self.plain(v)) for v in counted.tolist())

    def plain(self, v) -> str:
        """One element, not padded."""
        if not self.floating:
            return str(v)
        if self.scientific:
            return f"{v:.{options['precision']}e}"
        if self.whole:
            return f"{v:.0f}" + ("." if math.isfinite(v) else "")
        return f"{v:.{options['precision']}f}"

    def __call__(self, v) -> str:
        return self.plain(v).rjust(self.width)


class ComplexFormat:
    """Formats of the real and the imaginary parts."""

    def __init__(self, values: np.ndarray):
        self.real, self.imag = Format(values.real), Format(values.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, v) -> str:
        imag = self.imag(v.imag).lstrip() + "j"
        return self.real(v.real) + ("" if imag[0] in "+-" else "+") + imag


def edges(a: np.ndarray) -> np.ndarray:
    """The elements that are shown of a large array."""
    n = options["edgeitems"]
    for d, size in enumerate(a.shape):
        if size > 2 * n:
            at = [*range(n), *range(size - n, size)]
            a = np.take(a, at, axis=d)
    return a


def vector_text(a: np.ndarray, indent: int, shorten: bool, form) -> str:
    """A vector in brackets, in lines that fit the line width."""
    n = options["edgeitems"]
    per_line = max(1, math.floor((options["linewidth"] - indent) / (form.width + 2)))
    if shorten and not n:
        items = ["..."]
    elif shorten and a.shape[0] > 2 * n:
        items = [*map(form, a[:n].tolist()), " ...", *map(form, a[-n:].tolist())]
    else:
        items = list(map(form, a.tolist()))
    lines = [", ".join(items[i:i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def nested_text(a: np.ndarray, indent: int, shorten: bool, form) -> str:
    """An array in nested brackets; `indent` is the column where it begins."""
    if a.ndim == 0:
        return form(a.item())
    if a.ndim == 1:
        return vector_text(a, indent, shorten, form)
    n = options["edgeitems"]
    if shorten and a.shape[0] > 2 * n:
        parts = [
            *(nested_text(x, indent + 1, shorten, form) for x in a[:n]),
            "...",
            *(nested_text(x, indent + 1, shorten, form) for x in a[a.shape[0] - n:]),
        ]
    else:
        parts = [nested_text(x, indent + 1, shorten, form) for x in a]
    return "[" + ("," + "\n" * (a.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def values_text(a: np.ndarray, indent: int) -> str:
    """The values of an array as text that begins at column `indent`."""
    shorten = a.size > options["threshold"]
    shown = edges(a) if shorten else a
    form = ComplexFormat(shown) if a.dtype.kind == "c" else Format(shown)
    return nested_text(a, indent, shorten, form)


def with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """`text`, the suffixes, on a new line where they do not fit, and the closing bracket."""
    column = len(text) - text.rfind("\n") + 1
    parts = [text]
    for suffix in suffixes:
        if column + len(suffix) + 2 > options["linewidth"]:
            parts.append(",\n" + " " * indent + suffix)
            column = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            column += len(suffix) + 2
    return "".join(parts) + ")"


def plain_values(t) -> np.ndarray:
    """A tensor's values in a dtype that NumPy can format."""
    narrow = t.dtype.is_half or t.dtype in dtypes.FLOAT8
    return array(t).astype(np.float32) if narrow else array(t)


def tensor_str(t) -> str:
    """`repr` of a tensor, as PyTorch writes it. Reads the values."""
    if t.layout is not dtypes.strided:
        return sparse_str(t)
    own = type(t).__module__.startswith("rushlight.")
    prefix = "tensor(" if own else f"{type(t).__name__}("
    indent = len(prefix)
    d, default = t.dtype, dtypes.get_default_dtype()
    suffixes = []
    if t.is_meta:
        suffixes += [f"device='{t.device}'", f"size={tuple(t.shape)}"]
        return _with_facts(prefix + "...", suffixes, t, d is default)
    a = plain_values(t)
    if not a.size:
        if a.ndim != 1:
            suffixes.append(f"size={tuple(t.shape)}")
        implied = d is default
        text = "[]"
    else:
        implied = d in (default, dtypes.default_complex(), dtypes.int64, dtypes.bool_)
        if not options["edgeitems"]:
            suffixes.append(f"size={tuple(t.shape)}")
        text = values_text(a, indent)
    return _with_facts(prefix + text, suffixes, t, implied)


def _with_facts(text: str, suffixes: list[str], t, implied: bool) -> str:
    """The text of a tensor's values and what else its `repr` tells; implied: the dtype need not be told."""
    if not implied:
        suffixes.append(f"dtype={t.dtype}")
    function = t.grad_fn
    if function is not None:
        suffixes.append(f"grad_fn=<{function_name(function)}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    return with_suffixes(text, suffixes, text.find("(") + 1)


def _part(name: str, part, indent: int) -> str:
    """A tensor that a sparse one consists of, as `name=tensor(...)`."""
    a = array(part.detach())
    start = f"{name}=tensor("
    text = values_text(a, indent + len(start)) if a.size else "[]"
    return start + text + (f", size={tuple(part.shape)}" if not a.size else "") + ")"


def sparse_str(t) -> str:
    """`repr` of a sparse tensor: its indices, entries and sizes."""
    names = {dtypes.sparse_coo: ("indices",), dtypes.sparse_csr: ("crow_indices", "col_indices"),
             dtypes.sparse_csc: ("ccol_indices", "row_indices")}[t.layout]
    indent = len("tensor(")
    parts = [_part(n, i, indent) for n, i in zip(names, t._at, strict=True)]
    entries = t._values()
    parts.append(_part("values", entries.float() if t.dtype.is_half else entries, indent))
    text = (",\n" + " " * indent).join(parts)
    suffixes = [f"size={tuple(t.shape)}", f"nnz={t._nnz()}"]
    if t.dtype not in (dtypes.get_default_dtype(), dtypes.default_complex(), dtypes.int64, dtypes.bool_):
        suffixes.append(f"dtype={t.dtype}")
    suffixes.append(f"layout={t.layout}")
    function = t.grad_fn
    if function is not None:
        suffixes.append(f"grad_fn=<{function_name(function)}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    if t.layout is dtypes.sparse_coo:  # the sizes are on a line of their own
        first, *suffixes = suffixes
        text += ",\n" + " " * indent + first
    text = with_suffixes("tensor(" + text, suffixes, indent)
    return "Parameter containing:\n" + text if t.__dict__.get("_is_param") else text


def function_name(function) -> str:
    """The name of a node of the autograd graph."""
    kind = type(function)
    name = getattr(function, "name", None)
    return name().rsplit("::", 1)[-1] if callable(name) else kind.__name__
