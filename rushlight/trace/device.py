"""Where tensors live: in the CPU's memory, or, on "meta", nowhere. `cuda` can be named and says what is missing."""

from __future__ import annotations

NO_CUDA = (
    "Rushlight found no CUDA device: this version computes on the CPU only. "
    "Use device='cpu', or `torch.cuda.is_available()` to choose."
)


class device:
    """`device("cpu")`, `device("cuda", 0)`, `device("cuda:1")`: where a tensor is kept.

    `type` and `index` are its parts. Raises RuntimeError for other names. As a context manager it
    says where tensors are made that say nothing else. Tensors on "meta" have shape, strides and dtype,
    and no values: operations on them tell what their results would be like.

    >>> torch.device("cuda:1"), torch.zeros(2).device == torch.device("cpu")
    (device(type='cuda', index=1), True)
    >>> with torch.device("meta"):
    ...     layer = nn.Linear(1000000, 1000000)
    >>> layer(torch.zeros(8, 1000000, device="meta"))
    tensor(..., device='meta', size=(8, 1000000), grad_fn=<AddmmBackward0>)
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
        _entered.append(require(self))
        return self

    def __exit__(self, *error):
        _entered.pop()


class NoCuda(RuntimeError, AssertionError):
    """There is no CUDA device. PyTorch raises AssertionError or RuntimeError, as it was built."""

    def __init__(self, message: str = NO_CUDA):
        super().__init__(message)


CPU = device("cpu")
META = device("meta")
_entered = [CPU]  # the default, then the devices whose blocks the program is in


def current() -> device:
    """The device of new tensors: that of the innermost block, or the default."""
    return _entered[-1]


def place_of(data, where=None) -> device:
    """Where a tensor goes that is made of tensor `data`: to `where`, or that of a block, or it stays."""
    return require(where, data.device if _entered[-1] is CPU else None)


def set_default(where: device) -> None:
    """Say where tensors are made outside of all blocks."""
    _entered[0] = where


def require(where, default: device | None = None) -> device:
    """The device `where` names (None: `default`, or that of new tensors): the CPU or "meta".

    RuntimeError (NoCuda) if it cannot hold tensors.
    """
    if where is None:
        return _entered[-1] if default is None else default
    if where is CPU or where == "cpu":
        return CPU
    where = device(where)
    if where.type == "cpu":
        return CPU
    if where.type == "meta":
        return META
    if where.type == "cuda":
        raise NoCuda
    raise RuntimeError(f"Rushlight has no device '{where}': this version computes on the CPU only.")
