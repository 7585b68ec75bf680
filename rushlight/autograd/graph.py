"""The computation graph: walk it, print it, draw it."""

from __future__ import annotations

from contextlib import nullcontext

from ..trace.graph import GradNode as Node
from ..trace.tensor import Tensor

__all__ = ["Node", "draw", "dot", "save_on_cpu", "walk"]


class save_on_cpu(nullcontext):
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
