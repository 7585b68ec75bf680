"""The version of Rushlight, and the PyTorch version whose behaviour it follows."""

__version__ = "0.1.0"
TORCH_VERSION = "2.13.0"

# torch.version's answers about devices that this build does not have
cuda = None
hip = None
xpu = None
rocm = None
git_version = ""
debug = False
