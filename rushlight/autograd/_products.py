"""Products with Jacobians, forwards and backwards, of outputs that were computed from inputs."""

from __future__ import annotations

from ..trace import engine
from ..trace.layouts import filled
from ..trace.modes import is_grad_enabled


def zeros(t, requires_grad: bool = False):
    """Zeros like a tensor."""
    made = filled(t.shape, 0, t.dtype)
    return made.detach().requires_grad_() if requires_grad else made


def pulled(outputs, inputs, cotangents, create_graph=None, unused=zeros):
    """Cotangents pulled back to the inputs; `unused(input)` for those without influence."""
    create = is_grad_enabled() if create_graph is None else create_graph
    pairs = [(y, c) for y, c in zip(outputs, cotangents, strict=True) if y.requires_grad]
    wanted = [x for x in inputs if x.requires_grad]
    found = {}
    if pairs and wanted:
        made = engine.grad([y for y, _ in pairs], wanted, [c for _, c in pairs], True, create, True)
        found = {id(x): g for x, g in zip(wanted, made, strict=True) if g is not None}
    return [found[id(x)] if id(x) in found else unused(x) for x in inputs]


class Pushed:
    """Tangents pushed forward from inputs to outputs.

    Differentiation is reverse here; what it gives is linear in the cotangents, and its own
    derivative with respect to them is the map forward (the "double backward trick").
    """

    def __init__(self, outputs, inputs):
        self.outputs = outputs
        self.cotangents = [zeros(y, True) for y in outputs]
        self.back = pulled(outputs, inputs, self.cotangents, True, lambda x: None)

    def __call__(self, tangents, create_graph=None, unused=zeros):
        """The outputs' tangents; `unused(output)` for those that do not move."""
        pairs = [(g, t) for g, t in zip(self.back, tangents, strict=True)
                 if g is not None and g.requires_grad and t is not None]
        made = pulled([g for g, _ in pairs], self.cotangents, [t for _, t in pairs], create_graph,
                      lambda c: None)
        return [unused(y) if m is None else m for y, m in zip(self.outputs, made, strict=True)]
