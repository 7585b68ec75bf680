"""The computation graph: walk it, print it, draw it; hooks on what it saves and on its gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..answers import finder as _finder
from ..trace import engine
from ..trace.graph import AccumulateGrad, RemovableHandle  # noqa: F401 - names of PyTorch's
from ..trace.graph import GradNode as Node
from ..trace.segments import end_segment
from ..trace.tensor import Tensor
from ..trace.trie import RECORDER
from ..utils._python_dispatch import TorchDispatchMode  # noqa: F401 - a name of PyTorch's
from .saved import disable_saved_tensors_hooks, saved_tensors_hooks

Variable = Tensor

__all__ = [
    "GradientEdge", "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "draw", "dot", "get_gradient_edge",
    "increment_version", "region_activation_memory_budget", "register_multi_grad_hook", "save_on_cpu",
    "saved_tensors_hooks", "set_override_stale_capture_stream", "set_warn_on_accumulate_grad_stream_mismatch",
    "walk",
]


class GradientEdge(NamedTuple):
    """A place in the graph: output `output_nr` of `node`. `autograd.grad` and `backward` take it as a tensor.

    ownership_token: what keeps the place; here it is the tensor of `get_gradient_edge`.

    >>> x = torch.ones(2, requires_grad=True)
    >>> torch.autograd.graph.get_gradient_edge(x * 2)[1]
    0
    """

    node: Node
    output_nr: int
    ownership_token: Any = None

    def tensor(self) -> Tensor:
        """The tensor in this place. Raises RuntimeError for an edge that was not made by `get_gradient_edge`."""
        if self.ownership_token is not None:
            return self.ownership_token
        if isinstance(self.node, AccumulateGrad):
            return self.node.variable
        raise RuntimeError("this GradientEdge has no tensor: make it with torch.autograd.graph.get_gradient_edge")


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The place of `tensor` in the graph; RuntimeError if it requires no gradient.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = x * 3
    >>> edge = torch.autograd.graph.get_gradient_edge(y)
    >>> edge.node.name(), torch.autograd.grad((y ** 2).sum(), edge)
    ('MulBackward0', (tensor([6., 6.]),))
    """
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require gradients"
        )
    node = tensor.grad_fn
    return GradientEdge(AccumulateGrad(tensor) if node is None else node, tensor.output_nr, tensor)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Tell autograd that the memory of a tensor (or of several) was written to by other means.

    >>> x = torch.ones(2)
    >>> torch.autograd.graph.increment_version(x)
    >>> x._version
    1
    """
    for t in (tensor,) if isinstance(tensor, Tensor) else tensor:
        storage = t.storage_identity()
        end_segment(RECORDER.tr)  # what was saved before is noted with its version
        storage.version += 1


def _cloned(t: Tensor) -> Tensor:
    return t.detach().clone()


class _Unpacked:
    """What `allow_mutation_on_saved_tensors` yields."""

    def clear(self) -> None:
        """Nothing to clear: each copy belongs to the operation that saved it."""


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_Unpacked]:
    """In the block, tensors that were saved for a gradient may be written to afterwards: copies are saved.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.autograd.graph.allow_mutation_on_saved_tensors():
    ...     y = x.clone()
    ...     z = (y ** 2).sum()
    ...     _ = y.zero_()
    ...     z.backward()
    >>> x.grad
    tensor([2., 2.])
    """
    with saved_tensors_hooks(_cloned, lambda t: t):
        yield _Unpacked()


class _Handles:
    """The handle of hooks on several tensors."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Remove all."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable, *, mode: str = "all") -> _Handles:
    """Call `fn` once for each backward() that reaches `tensors`.

    mode "all": `fn(gradients)` when it has computed the gradients of all that it reaches, None for the
    others. mode "any": `fn(gradient)` with the first. Raises ValueError for another mode.

    >>> x, y = [torch.ones(1, requires_grad=True) for _ in range(2)]
    >>> handle = torch.autograd.graph.register_multi_grad_hook([x, y], print)
    >>> (x * 2).backward()
    [tensor([2.]), None]
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    seen: dict[int, Tensor] = {}

    def finish() -> None:
        found = [seen.get(i) for i in range(len(tensors))]
        seen.clear()
        if mode == "all":
            fn(found)

    def hook_of(i: int) -> Callable:
        def hook(g: Tensor) -> None:
            if not seen:
                engine.at_end(finish)
                if mode == "any":
                    fn(g)
            seen[i] = seen[i] + g if i in seen else g

        return hook

    return _Handles([t.register_hook(hook_of(i)) for i, t in enumerate(tensors)])


class region_activation_memory_budget(contextlib.nullcontext):
    """Without effect: what is saved for gradients is not chosen by a budget. budget: from 0 to 1.

    >>> with torch.autograd.graph.region_activation_memory_budget(0.5):
    ...     y = torch.ones(2) * 2
    """

    def __init__(self, budget: float) -> None:
        super().__init__()
        if not 0 <= budget <= 1:
            raise ValueError(f"budget must be in [0, 1], got {budget}")


def set_warn_on_accumulate_grad_stream_mismatch(enabled: bool) -> None:
    """Accepted: there is one stream."""


def set_override_stale_capture_stream(enabled: bool) -> None:
    """Accepted: there is one stream."""


class save_on_cpu(contextlib.nullcontext):
    """What is saved for gradients in the block lies in the CPU's memory: everything does.

    pin_memory, device_type: accepted.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.autograd.graph.save_on_cpu():
    ...     y = (x * x).sum()
    >>> torch.autograd.grad(y, x)
    (tensor([2., 2.]),)
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__()


def walk(root: Tensor):
    """Yield (node, [(next node, output number), ...]) for the history of `root`, outputs first."""
    start = root.grad_fn
    if start is None:
        return
    seen, stack = {start}, [start]
    while stack:
        node = stack.pop()
        following = [(n, k) for n, k in node.next_functions if n is not None]
        yield node, following
        for n, _ in following:
            if n not in seen:
                seen.add(n)
                stack.append(n)


def dot(root: Tensor, params: dict[str, Tensor] | None = None) -> str:
    """The graph of `root` in Graphviz's language: tensors as boxes, operations as ellipses.

    params: names of leaves, e.g. `dict(model.named_parameters())`.
    """
    names = {id(t): name for name, t in (params or {}).items()}
    shape = "x".join(map(str, root.shape)) or "scalar"
    lines = [
        "digraph computation {",
        '  rankdir=BT; node [fontname="Helvetica", fontsize=10];',
        f'  root [shape=box, style=filled, fillcolor="#c8e6c9", label="output\\n{shape}"];',
    ]
    ids: dict = {}

    def name_of(node) -> str:
        if node not in ids:
            ids[node] = f"n{len(ids)}"
            leaf = getattr(node, "variable", None)
            if leaf is None:
                label = node.name().removesuffix("0").removesuffix("Backward")
                lines.append(f'  {ids[node]} [label="{label}"];')
            else:
                size = "x".join(map(str, leaf.shape)) or "scalar"
                label = f"{names.get(id(leaf), 'leaf')}\\n{size}"
                lines.append(
                    f'  {ids[node]} [shape=box, style=filled, fillcolor="#bbdefb", '
                    f'label="{label}"];'
                )
        return ids[node]

    if root.grad_fn is not None:
        lines.append(f"  {name_of(root.grad_fn)} -> root;")
    for node, following in walk(root):
        for n, _ in following:
            lines.append(f"  {name_of(n)} -> {name_of(node)};")
    lines.append("}")
    return "\n".join(lines)


def draw(root: Tensor, path: str, params: dict[str, Tensor] | None = None) -> str:
    """Write a picture of the graph of `root` to `path` (.png, .svg, .pdf or .dot); returns it.

    Uses the `graphviz` package and its program; without them a layered picture is drawn with
    matplotlib. Raises RuntimeError if neither is there.
    """
    source = dot(root, params)
    if path.endswith(".dot"):
        with open(path, "w") as f:
            f.write(source)
        return path
    import shutil

    if shutil.which("dot"):
        import subprocess

        kind = path.rsplit(".", 1)[-1]
        subprocess.run(["dot", f"-T{kind}", "-o", path], input=source.encode(), check=True)
        return path
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        raise RuntimeError(
            "drawing a graph needs Graphviz or matplotlib: pip install 'rushlight[plots]', "
            "or write a .dot file"
        ) from None
    _draw_layers(root, path, params or {}, plt)
    return path


def _draw_layers(root, path, params, plt) -> None:
    """Nodes in layers by their distance from the output, edges as arrows."""
    names = {id(t): name for name, t in params.items()}
    depth, edges = {root.grad_fn: 0}, []
    order = list(walk(root))
    for node, following in order:
        for n, _ in following:
            edges.append((n, node))
    for _ in range(len(order)):
        changed = False
        for below, above in edges:
            d = depth.get(above, 0) + 1
            if depth.get(below, -1) < d:
                depth[below], changed = d, True
        if not changed:
            break
    layers: dict = {}
    for node, d in depth.items():
        layers.setdefault(d, []).append(node)
    place = {}
    for d, nodes in layers.items():
        for i, node in enumerate(nodes):
            place[node] = (i - (len(nodes) - 1) / 2, -d)
    width = max(len(n) for n in layers.values())
    fig, ax = plt.subplots(figsize=(max(4, 1.9 * width), max(3, 0.8 * len(layers))))
    for below, above in edges:
        ax.annotate("", place[above], place[below],
                    arrowprops={"arrowstyle": "->", "color": "0.5", "shrinkA": 14, "shrinkB": 14})
    for node, (x, y) in place.items():
        leaf = getattr(node, "variable", None)
        if leaf is None:
            label, colour = node.name().removesuffix("0").removesuffix("Backward"), "#fff9c4"
        else:
            label = f"{names.get(id(leaf), 'leaf')}\n{'x'.join(map(str, leaf.shape))}"
            colour = "#bbdefb"
        ax.text(x, y, label, ha="center", va="center", fontsize=8,
                bbox={"boxstyle": "round" if leaf is None else "square", "fc": colour, "ec": "0.4"})
    ax.set_xlim(-width / 2 - 0.3, width / 2 + 0.3)
    ax.set_ylim(-max(layers) - 0.6, 0.6)
    ax.axis("off")
    fig.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(fig)

__getattr__ = _finder(__name__)
