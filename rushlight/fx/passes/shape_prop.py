"""Shapes of every node of a graph, found by running it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...trace.tensor import Tensor
from ..interpreter import Interpreter
from ..node import Node, map_aggregate


class TensorMetadata(NamedTuple):
    """What is known of a tensor without its values.

    >>> net = torch.fx.symbolic_trace(lambda x: x.T)
    >>> _ = ShapeProp(net).propagate(torch.zeros(2, 3))
    >>> net.graph.output_node().meta["tensor_meta"].stride
    (1, 3)
    """

    shape: Any
    dtype: Any
    requires_grad: bool
    stride: tuple[int, ...]
    memory_format: Any
    is_quantized: bool
    qparams: dict[str, Any]


def _extract_tensor_metadata(t: Tensor, include_contiguity: bool = True) -> TensorMetadata:
    """The TensorMetadata of a tensor."""
    from ...trace import dtypes

    formats = (dtypes.contiguous_format, dtypes.channels_last, dtypes.channels_last_3d)
    kind = next((f for f, dims in zip(formats, (None, 4, 5), strict=True)
                 if dims in (None, t.dim()) and t.is_contiguous(memory_format=f)), None) if include_contiguity else None
    return TensorMetadata(t.shape, t.dtype, t.requires_grad, t.stride(), kind, False, {})


class ShapeProp(Interpreter):
    """Runs a GraphModule and notes each result's `TensorMetadata` in `node.meta["tensor_meta"]`.

    >>> from rushlight.fx.passes.shape_prop import ShapeProp
    >>> net = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(3, 5)))
    >>> _ = ShapeProp(net).propagate(torch.zeros(2, 3))
    >>> [tuple(n.meta["tensor_meta"].shape) for n in net.graph.nodes]
    [(2, 3), (2, 5), (2, 5)]
    """

    def __init__(self, gm: Any, fake_mode: Any = None) -> None:
        super().__init__(gm)

    def run_node(self, n: Node) -> Any:
        """Run the node and note what came out."""
        result = super().run_node(n)
        seen = []

        def note(x: Any) -> Any:
            if not isinstance(x, Tensor):
                return x
            seen.append(x)
            return _extract_tensor_metadata(x)

        meta = map_aggregate(result, note)
        if seen:
            n.meta["tensor_meta"] = meta
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args: Any) -> Any:
        """Run with these arguments."""
        return super().run(*args)


__all__ = ["ShapeProp", "TensorMetadata"]
