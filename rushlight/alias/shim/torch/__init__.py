"""Makes way for Rushlight: the first `import torch` of a process that inherited sys.path."""

import sys

from rushlight.alias import install

del sys.modules["torch"]
install()
