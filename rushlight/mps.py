"""torch.mps: there is no such device; programs ask before they choose."""

from .answers import finder

__getattr__ = finder(__name__)
