"""torch.ao: the marks of its quantization that float models carry."""

from . import quantization

__all__ = ["quantization"]
