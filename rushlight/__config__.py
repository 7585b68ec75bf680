"""torch.__config__: how this was built."""


def show() -> str:
    """What computes: NumPy, and machine code that Rushlight writes through LLVM.

    >>> "LLVM" in torch.__config__.show()
    True
    """
    from .version import __version__

    return f"Rushlight {__version__}: NumPy, and kernels compiled by LLVM; no CUDA, MKL or OpenMP"


def parallel_info() -> str:
    """The number of threads of native kernels."""
    import rushlight

    return f"{rushlight.get_num_threads()} threads"
