"""Where tensors live. Only `cpu` holds memory today; `cuda` can be named and says what is missing."""

from __future__ import annotations

NO_CUDA = (
    "Rushlight found no CUDA device: this version computes on the CPU only. "
    "Use device='cpu', or `torch.cuda.is_available()` to choose."
)


class device:
    """`device("cpu")`, `device("cuda", 0)`, `device("cuda:1")`: where a tensor is kept.

    `type` and `index` are its parts. Raises RuntimeError for other names. As a context manager it
    takes the CPU and "meta". In a block of "meta", PyTorch makes tensors without memory, which programs
    replace by others afterwards. Here tensors say so inside of the block, and have memory all the same.

    >>> torch.device("cuda:1"), torch.zeros(2).device == torch.device("cpu")
    (device(type='cuda', index=1), True)
    """

    __slots__ = ("type", "index")

    def __init__(self, type: str | int | device = "cpu", index: int | None = None):
        if isinstance(type, device):
            type, index = type.type, type.index
        elif isinstance(type, int):
            type, index = "cuda", type
        elif not isinstance(type, str):
            raise TypeError(f"device(): argument 'type' must be str, not {type.__class__.__name__}")
        kind, colon, number = type.partition(":")
        if kind not in ("cpu", "cuda", "meta", "mps", "xpu"):
            raise RuntimeError(
                f"Expected one of cpu, cuda, mps, xpu, meta device type at start of device "
                f"string: {type}"
            )
        if colon:
            if index is not None or not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        self.type, self.index = kind, index

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self):
        return device, (self.type,) if self.index is None else (self.type, self.index)

    def __enter__(self):
        _entered.append(require(self) if self.type != "meta" else self)
        return self

    def __exit__(self, *error):
        _entered.pop()


class NoCuda(RuntimeError, AssertionError):
    """There is no CUDA device. PyTorch raises AssertionError or RuntimeError, as it was built."""

    def __init__(self, message: str = NO_CUDA):
        super().__init__(message)


CPU = device("cpu")
_entered = [CPU]  # whose blocks the program is in


def current() -> device:
    """The device of the innermost block: the CPU, or "meta"."""
    return _entered[-1]


def require(where) -> device:
    """The device `where` names (None is the CPU), if it can hold tensors; else RuntimeError (NoCuda)."""
    if where is None or where is CPU or where == "cpu":
        return CPU
    where = device(where)
    if where.type == "cpu" or where == _entered[-1]:
        return where
    if where.type == "cuda":
        raise NoCuda
    raise RuntimeError(f"Rushlight has no device '{where}': this version computes on the CPU only.")
