"""What tensors on the meta device have in place of values."""

from __future__ import annotations

import numpy as np

NO_DATA = "Cannot copy out of meta tensor; no data!"


class Placeholder(np.ndarray):
    """An array of one element, repeated: no memory of its size.

    Nothing can be computed with it (NotImplementedError); what is written into it is gone.
    """

    def __array_ufunc__(self, *args, **kwargs):
        raise NotImplementedError(NO_DATA)

    def __array_function__(self, function, types, args, kwargs):
        if function is np.copyto and args[0].__class__ is Placeholder:
            return None
        raise NotImplementedError(NO_DATA)

    def item(self, *args):
        """RuntimeError: there is no value."""
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")

    def _no_values(self, *args, **kwargs):
        raise NotImplementedError(NO_DATA)

    tolist = tobytes = copy = astype = __getitem__ = _no_values


def placeholder(shape, d) -> Placeholder:
    """A Placeholder of a shape and NumPy dtype."""
    return np.broadcast_to(np.zeros((), d), shape).view(Placeholder)
