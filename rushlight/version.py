"""The version of Rushlight, and the PyTorch version whose behaviour it follows."""

from .answers import finder as _finder

__version__ = "0.1.0"
TORCH_VERSION = "2.13.0"

# torch.version's answers about devices that this build does not have
cuda = None
hip = None
xpu = None
debug = False

__getattr__ = _finder(__name__)
