"""`summary(model, input_size=...)`: a table of a model's modules, shapes, parameters and work.

The model is run once, without gradients. Multiply-adds are counted where operators run, so products
inside of functions (attention, `F.linear`) are counted with the module that calls them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ..interpret import measure
from ..trace.segments import flush
from ..trace.tensor import Tensor, array
from .flops import multiply_adds

COLUMNS = {
    "input_size": "Input shape",
    "output_size": "Output shape",
    "kernel_size": "Kernel",
    "num_params": "Parameters",
    "params_percent": "Share",
    "trainable": "Trainable",
    "mult_adds": "Multiply-adds",
    "activations": "Activations",
}
DEFAULT = ("output_size", "num_params", "trainable", "mult_adds")


class Row:
    """One module of the tree.

    name, path, kind (its class), depth, calls (how often it ran), input_shapes and output_shapes
    (of the tensors in the first call), params and trainable_params (of the module and all inside,
    each tensor once), mult_adds (with all inside, all calls), activation_bytes (of its outputs, all
    calls), shared (it stands elsewhere in the tree already), children.

    >>> from rushlight.tools.summary import summary
    >>> row = summary(nn.Sequential(nn.Linear(4, 8)), input_size=(2, 4)).rows[1]
    >>> row.path, row.kind, row.params, row.mult_adds
    ('0', 'Linear', 40, 64)
    """

    def __init__(self, name: str, path: str, module: Any, depth: int):
        self.name, self.path, self.kind, self.depth = name, path, type(module).__name__, depth
        self.calls = 0
        self.input_shapes: list[tuple] = []
        self.output_shapes: list[tuple] = []
        self.kernel_size = tuple(module.weight.shape[2:]) if hasattr(module, "kernel_size") and (
            isinstance(getattr(module, "weight", None), Tensor)) else None
        if self.kernel_size is None and hasattr(module, "kernel_size"):
            k = module.kernel_size
            self.kernel_size = tuple(k) if isinstance(k, (tuple, list)) else (k,)
        self.params = self.trainable_params = self.mult_adds = self.activation_bytes = 0
        self.shared = False
        self.children: list[Row] = []

    def __repr__(self) -> str:
        return f"<{self.kind} {self.path or '(model)'}: {self.params} parameters>"


class ModelSummary:
    """What `summary` found; `str()` of it is the table.

    rows (all, in the order of the tree), total_params, trainable_params, non_trainable_params,
    total_mult_adds, total_flops (2 for each multiply-add), input_bytes, param_bytes, buffer_bytes,
    activation_bytes (outputs of the innermost modules that ran: about what training keeps).

    >>> from rushlight.tools.summary import summary
    >>> found = summary(nn.Linear(4, 8), input_size=(2, 4))
    >>> found.total_params, found.param_bytes, found.input_bytes
    (40, 160, 32)
    """

    def __init__(self, rows: list[Row], columns: Sequence[str], depth: int):
        self.rows, self.columns, self.depth = rows, tuple(columns), depth
        self.total_params = self.trainable_params = self.total_mult_adds = 0
        self.input_bytes = self.param_bytes = self.buffer_bytes = self.activation_bytes = 0

    @property
    def non_trainable_params(self) -> int:
        return self.total_params - self.trainable_params

    @property
    def total_flops(self) -> int:
        return 2 * self.total_mult_adds

    def _cell(self, row: Row, column: str) -> str:
        if column in ("input_size", "output_size"):
            shapes = row.input_shapes if column == "input_size" else row.output_shapes
            if not shapes:
                return "--"
            more = f" + {len(shapes) - 1} more" if len(shapes) > 1 else ""
            return str(list(shapes[0])) + more
        if column == "kernel_size":
            return "--" if row.kernel_size is None else str(list(row.kernel_size))
        if column == "activations":
            return format_bytes(row.activation_bytes) if row.calls else "--"
        if row.shared:
            return "(shared)" if column == "num_params" else "--"
        if column == "num_params":
            return f"{row.params:,}" if row.params else "--"
        if column == "params_percent":
            return f"{100 * row.params / self.total_params:.1f} %" if row.params else "--"
        if column == "trainable":
            if not row.params:
                return "--"
            t = row.trainable_params
            return "yes" if t == row.params else "no" if not t else "in part"
        return f"{row.mult_adds:,}" if row.mult_adds else "--"

    def __str__(self) -> str:
        shown = [r for r in self.rows if r.depth <= self.depth]
        table = [["Module", *(COLUMNS[c] for c in self.columns)]]
        for row, branch in zip(shown, _branches(shown), strict=True):
            title = f"{branch}{row.name} ({row.kind})" if row.depth else row.kind
            if row.calls > 1:
                title += f" x{row.calls}"
            table.append([title, *(self._cell(row, c) for c in self.columns)])
        widths = [max(len(r[i]) for r in table) for i in range(len(table[0]))]
        left = {0} | {i for i, c in enumerate(self.columns, 1)
                      if c in ("input_size", "output_size")}
        lines = ["  ".join(c.ljust(w) if i in left else c.rjust(w)
                           for i, (c, w) in enumerate(zip(r, widths, strict=True))).rstrip()
                 for r in table]
        rule = "-" * max(sum(widths) + 2 * (len(widths) - 1), 56)
        size = format_bytes
        whole = self.input_bytes + self.param_bytes + self.buffer_bytes + self.activation_bytes
        return "\n".join([
            rule, lines[0], rule, *lines[1:], rule,
            f"Parameters: {self.total_params:,} (trainable {self.trainable_params:,}, "
            f"frozen {self.non_trainable_params:,})",
            f"Multiply-adds: {format_count(self.total_mult_adds)} "
            f"({format_count(self.total_flops)}FLOPs)",
            f"Memory: input {size(self.input_bytes)}, parameters {size(self.param_bytes)}, "
            f"buffers {size(self.buffer_bytes)}, activations {size(self.activation_bytes)}, "
            f"together {size(whole)}",
            rule,
        ])

    __repr__ = __str__


class _Watch(measure.Observer):
    """Adds the multiply-adds of what runs to the module whose forward is running."""

    def __init__(self, root: Any):
        self.stack: list = [root]
        self.own: dict[Any, int] = {}

    def operation(self, operator, node, args, result, start, end):
        if result is not None:
            found = multiply_adds(operator.name, args, result)
            if found:
                self.own[self.stack[-1]] = self.own.get(self.stack[-1], 0) + found


def summary(model: Any, input_size: Any = None, input_data: Any = None, *,
            batch_dim: int | None = None, dtypes: Sequence[Any] | None = None, depth: int = 3,
            col_names: Sequence[str] = DEFAULT, mode: str = "eval", verbose: int = 0,
            device: Any = None, **kwargs: Any) -> ModelSummary:
    """Run `model` once and describe its modules: shapes, parameters, multiply-adds, memory.

    model: a Module. input_size: the shape of its input with the batch, or a list of shapes; inputs
    are drawn uniformly from [0, 1). input_data: instead, a tensor, a tuple or list of arguments, or a
    dictionary of keyword arguments. batch_dim: where to insert a batch of 1 into each input_size.
    dtypes: of the inputs (whole numbers are zeros). depth: how many levels of modules are printed.
    col_names: any of input_size, output_size, kernel_size, num_params, params_percent, trainable,
    mult_adds, activations. mode: "eval", "train" or "same". verbose: 1 prints the table. Further
    arguments go to the model.

    Multiply-adds are those of matrix products and convolutions: `n * m * k` for (n, k) @ (k, m).
    The model is left as it was: modes, parameters, buffers, random state; of a model with lazy
    modules a copy is run. Without input_size and input_data only parameters are listed.

    Raises ValueError for unknown columns or modes, RuntimeError naming the module that failed.

    >>> from rushlight.tools.summary import summary
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
    >>> info = summary(net, input_size=(2, 4))
    >>> info.total_params, info.total_mult_adds, info.rows[1].output_shapes
    (40, 64, [(2, 8)])
    """
    unknown = [c for c in col_names if c not in COLUMNS]
    if unknown:
        raise ValueError(f"summary: unknown column '{unknown[0]}'; there are {list(COLUMNS)}")
    if mode not in ("eval", "train", "same"):
        raise ValueError(f"summary: mode should be 'eval', 'train' or 'same', got '{mode}'")
    if input_size is not None and input_data is not None:
        raise ValueError("summary: give input_size or input_data, not both")
    import rushlight

    from ..nn.parameter import is_lazy

    random_state = rushlight.get_rng_state()
    runs = input_size is not None or input_data is not None or bool(kwargs)
    if runs and any(is_lazy(t) for t in [*model.parameters(), *model.buffers()]):
        model = copy.deepcopy(model)
    kept = _state_of(model)
    try:
        args: tuple = ()
        if input_size is not None:
            args = _inputs(input_size, batch_dim, dtypes)
        elif input_data is not None:
            args, kwargs = _given(input_data, kwargs)
        watch = _Watch(model)
        calls: dict[Any, list] = {}
        if runs:
            if mode != "same":
                model.train(mode == "train")
            _run(model, args, kwargs, watch, calls)
        rows = _tree(model, calls, watch.own)
        found = ModelSummary(rows, col_names, depth)
        for p in model.parameters():
            n = 0 if is_lazy(p) else p.numel()
            found.total_params += n
            found.trainable_params += n if p.requires_grad else 0
            found.param_bytes += n * p.element_size() if n else 0
        found.buffer_bytes = sum(0 if is_lazy(b) else b.numel() * b.element_size()
                                 for b in model.buffers())
        found.total_mult_adds = sum(watch.own.values())
        found.activation_bytes = sum(
            r.activation_bytes for r in rows if not any(c.calls for c in r.children))
        found.input_bytes = sum(t.numel() * t.element_size() for t in _tensors((args, kwargs)))
    finally:
        _restore(kept)
        rushlight.set_rng_state(random_state)
    if verbose:
        print(found)
    return found


def _inputs(input_size, batch_dim, dtypes) -> tuple:
    """Tensors of the asked shapes."""
    import rushlight

    sizes = [input_size] if not input_size or isinstance(input_size[0], int) else list(input_size)
    dtypes = list(dtypes) if dtypes else [rushlight.get_default_dtype()] * len(sizes)
    if len(dtypes) != len(sizes):
        raise ValueError(f"summary: {len(sizes)} inputs but {len(dtypes)} dtypes")
    made = []
    for size, dtype in zip(sizes, dtypes, strict=True):
        shape = list(size)
        if batch_dim is not None:
            shape.insert(batch_dim, 1)
        x = rushlight.rand(shape) if dtype.is_floating_point or dtype.is_complex else (
            rushlight.zeros(shape))
        made.append(x.to(dtype))
    return tuple(made)


def _given(data, kwargs) -> tuple[tuple, dict]:
    if isinstance(data, dict):
        return (), {**data, **kwargs}
    if isinstance(data, (tuple, list)):
        return tuple(data), kwargs
    return (data,), kwargs


def _tensors(x) -> list:
    """All tensors inside of nested tuples, lists and dictionaries (and packed sequences)."""
    if isinstance(x, Tensor):
        return [x]
    if isinstance(x, dict):
        return [t for v in x.values() for t in _tensors(v)]
    if isinstance(x, (tuple, list)):
        return [t for v in x for t in _tensors(v)]
    data = getattr(x, "data", None)
    return [data] if isinstance(data, Tensor) else []


def _run(model, args, kwargs, watch, calls) -> None:
    """Call the model with hooks on all modules."""
    import rushlight

    names = {m: n for n, m in model.named_modules()}
    inputs: list = []
    handles = []

    def before(module, args, kwargs):
        flush()
        watch.stack.append(module)
        inputs.append([tuple(t.shape) for t in _tensors((args, kwargs))])

    def after(module, args, output):
        flush()
        watch.stack.pop()
        tensors = _tensors(output)
        calls.setdefault(module, []).append((
            inputs.pop(), [tuple(t.shape) for t in tensors],
            sum(t.numel() * t.element_size() for t in tensors)))

    # Before a lazy module's own hook, which makes its parameters: those belong to the module too.
    for m in names:
        handles.append(m.register_forward_pre_hook(before, prepend=True, with_kwargs=True))
        handles.append(m.register_forward_hook(after))
    flush()
    measure.watch(watch)
    try:
        with rushlight.no_grad():
            model(*args, **kwargs)
            flush()
    except Exception as e:
        failed = watch.stack[-1] if len(watch.stack) > 1 else model
        name = names.get(failed) or "(the model itself)"
        shapes = ", ".join(str(list(s)) for s in (inputs[-1] if inputs else [])) or "no tensors"
        raise RuntimeError(
            f"summary: module '{name}' ({type(failed).__name__}) failed on inputs of shape "
            f"{shapes}: {type(e).__name__}: {e}"
        ) from e
    finally:
        measure.unwatch(watch)
        for h in handles:
            h.remove()


def _tree(model, calls, own) -> list[Row]:
    """The rows of all modules, parents before children."""
    from ..nn.parameter import is_lazy

    rows: list[Row] = []
    seen: set = set()

    def visit(module, name, path, depth) -> Row:
        row = Row(name, path, module, depth)
        rows.append(row)
        row.shared = module in seen
        for p in {id(p): p for p in module.parameters()}.values():
            n = 0 if is_lazy(p) else p.numel()
            row.params += n
            row.trainable_params += n if p.requires_grad else 0
        if row.shared:
            return row
        seen.add(module)
        done = calls.get(module, [])
        row.calls = len(done)
        if done:
            row.input_shapes, row.output_shapes = done[0][0], done[0][1]
            row.activation_bytes = sum(size for _, _, size in done)
        row.mult_adds = own.get(module, 0)
        for n, child in module._modules.items():
            if child is not None:
                below = visit(child, n, f"{path}.{n}" if path else n, depth + 1)
                row.children.append(below)
                row.mult_adds += below.mult_adds
        return row

    visit(model, "", "", 0)
    return rows


def _branches(rows: list[Row]) -> list[str]:
    """The lines of the tree in front of each row."""
    made = []
    for at, row in enumerate(rows):
        if not row.depth:
            made.append("")
            continue
        text = ""
        for level in range(1, row.depth + 1):
            later = next((r.depth for r in rows[at + 1:] if r.depth <= level), -1)
            more = later == level
            if level == row.depth:
                text += "├─" if more else "└─"
            else:
                text += "│ " if more else "  "
        made.append(text)
    return made


def _state_of(model) -> list:
    """Modes, parameters and buffers of all modules, to be put back."""
    from ..nn.parameter import is_lazy

    kept = []
    for m in model.modules():
        tensors = [(place, n, t, None if t is None or is_lazy(t) else t.detach().clone())
                   for place in (m._parameters, m._buffers) for n, t in place.items()]
        kept.append((m, m.training, tensors))
    return kept


def _restore(kept) -> None:
    import rushlight

    with rushlight.no_grad():
        for m, training, tensors in kept:
            m.training = training
            for place, name, t, value in tensors:
                place[name] = t
                if value is not None and not _same(t, value):
                    t.copy_(value)


def _same(a, b) -> bool:
    return array(a).tobytes() == array(b).tobytes()


def format_bytes(n: int) -> str:
    """A number of bytes as text, in powers of 1024."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if n >= 1024**power:
            return f"{n / 1024**power:.2f} {unit}"
    return f"{n} B"


def format_count(n: int) -> str:
    """A number with G, M or k behind it."""
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if n >= size:
            return f"{n / size:.2f} {unit}"
    return f"{n} "


__all__ = ["ModelSummary", "Row", "summary"]
