"""Tensors that are not strided: thin objects over a dense tensor of their entries, whose history is theirs.

`SparseTensor` (`sparse_tensor.py`) and `NestedTensor` (`rushlight/nested_tensor.py`) are of this kind. They have no
node in the trie: where an operator asks for it, `OtherLayout` is raised. What a class defines is `_like` (other entries
in the same places), `_gradient` (of the entries' gradient, the tensor's) and `_aligned` (of a cotangent, the entries').
"""

from __future__ import annotations

from typing import Any

from ..trace import overrides
from ..trace.tensor import Tensor


class OfEntries(Tensor):
    """A tensor whose elements are those of another one, in places that the class knows."""

    __slots__ = (
        "_entries",
        "_own",  # whether this is a leaf: nobody else's history is in the entries
    )
    __torch_function__ = staticmethod(overrides.disabled)
    _instead = ".to_dense()"  # what is strided

    def __getattr__(self, name: str) -> Any:
        if name == "_s" or name == "_tr":
            raise overrides.OtherLayout(
                f"a tensor of layout {self.layout} has no strided memory: use {self._instead}"
            )
        return Tensor.__getattr__(self, name)

    dtype = property(lambda self: self._entries.dtype, doc="The element type.")
    itemsize = property(lambda self: self._entries.itemsize, doc="Bytes of one element.")
    device = property(lambda self: self._entries.device, doc="Where the tensor is kept.")
    is_meta = property(lambda self: self._entries.is_meta, doc="Whether there are no values.")
    is_cpu = property(lambda self: self._entries.is_cpu, doc="Whether this is the CPU.")
    _version = property(lambda self: self._entries._version)

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec)

    def __iter__(self):
        return iter(self.unbind(0))

    # ------------------------------------------------------------ history: that of the entries

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to the entries."""
        return self._entries.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool):
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True):
        """Start or stop collecting gradients for this leaf; its `grad` has its layout."""
        if requires_grad and not self.requires_grad:
            self._entries, self._own = self._entries.detach().requires_grad_(), True
        elif not requires_grad:
            self._entries.requires_grad_(False)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no operation that is differentiated made this tensor."""
        return self._own or not self.requires_grad

    @property
    def grad(self):
        """The gradient that backward() accumulated, in the places of the entries, or None."""
        entries = self._entries
        if entries._grad is None or not (self._own or entries._retains):
            return None
        return self._gradient(entries._grad)

    @grad.setter
    def grad(self, value):
        self._entries.grad = None if value is None else self._aligned(value)

    @property
    def grad_fn(self):
        """The operation that made the entries, or None."""
        return None if self._own else self._entries.grad_fn

    def register_hook(self, hook):
        """Call `hook(grad)` with the gradient when it is known; it may return another."""

        def on_entries(g):
            changed = hook(self._gradient(g))
            return None if changed is None else self._aligned(changed)

        return self._entries.register_hook(on_entries)

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Accumulate the gradient of this tensor, for a cotangent of its shape, into the leaves."""
        from ..trace.engine import backward

        backward((self,), (gradient,), retain_graph, create_graph, inputs)

    def detach(self):
        """The same memory without history."""
        return self._like(self._entries.detach())

    data = property(detach, lambda self, value: self._become(value.detach()))

    def detach_(self):
        """Cut this tensor's own history; returns it."""
        self._entries, self._own = self._entries.detach(), False
        return self

    def _parameter(self, requires_grad: bool):
        """nn.Parameter of this: a leaf that modules register."""
        made = self.detach()
        made.__dict__["_is_param"] = True
        return made.requires_grad_() if requires_grad else made

    def __copy__(self):
        made = self._like(self._entries)
        made._own = self._own
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo):
        from copy import deepcopy

        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support "
                               "the deepcopy protocol at the moment")
        made = memo[id(self)] = self.detach().clone()
        if self._own:
            made.requires_grad_()
            made._entries._grad = deepcopy(self._entries._grad, memo)
        made.__dict__.update(deepcopy(self.__dict__, memo))
        return made



def _of_entries(name: str) -> None:
    plain = getattr(Tensor, name)

    def method(self, *args):
        return plain(self._entries, *args)

    method.__name__, method.__doc__ = name, plain.__doc__
    setattr(OfEntries, name, method)


for _name in ("check_writable element_size is_complex is_floating_point is_inference is_signed "
              "retain_grad").split():
    _of_entries(_name)


__all__ = ["OfEntries"]
