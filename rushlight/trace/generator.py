"""Random numbers: PyTorch's CPU generator, bit for bit.

The engine is the Mersenne Twister mt19937 (Matsumoto and Nishimura, 1998), seeded with the low 32 bits of
the seed; NumPy's own implementation of it supplies the raw words. How PyTorch 2.13 makes numbers of
them was found by experiment: which word widths are drawn for what, and in which order.
"""

from __future__ import annotations

import contextlib
import math
from functools import partial

import numpy as np

from .box_muller import box_muller, libm
from .device import require
from .record import DEFAULT_GENERATOR

DEFAULT_SEED = 67280421310721
STATE_BYTES = 5056
MANTISSA = (1 << 53) - 1  # the bits of a 64-bit word that a float64 in [0, 1) is made of
FEW = 16  # numbers that Python makes sooner than NumPy


class Generator:
    """A source of random numbers with a state of its own: PyTorch's numbers for the same seed.

    device: "cpu". Random functions take one as `generator`; the default is
    `torch.default_generator`.

    >>> first, second = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    >>> torch.rand(2, generator=first), torch.rand(2, generator=second)
    (tensor([0.0043, 0.1056]), tensor([0.0043, 0.1056]))
    >>> state = first.get_state()
    >>> x, _ = torch.rand(1, generator=first), first.set_state(state)
    >>> torch.equal(x, torch.rand(1, generator=first))
    True
    """

    def __init__(self, device="cpu"):
        self.device = require(device)
        if self.device.type == "meta":
            raise RuntimeError("META device type not an accelerator: there are no random numbers on it.")
        self._engine = None
        self.manual_seed(DEFAULT_SEED)

    @property
    def _bits(self):
        """NumPy's engine, made when the first number is drawn (importing it takes a while)."""
        if self._engine is None:
            self._engine = np.random.MT19937()
            self._engine._legacy_seeding(self._seed & 0xFFFFFFFF)
        return self._engine

    # ---------------------------------------------------------------- seed and state

    def manual_seed(self, seed: int) -> Generator:
        """Start again from a 64-bit seed; returns the generator."""
        _settle()
        seed = int(seed)
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError(
                f"Overflow when unpacking long long: the seed {seed} does not fit in 64 bits"
            )
        self._seed = seed & 0xFFFFFFFFFFFFFFFF
        if self._engine is not None:
            self._engine._legacy_seeding(self._seed & 0xFFFFFFFF)
        self._fresh = True
        self._next_normal: float | None = None
        return self

    def seed(self) -> int:
        """Start from a seed taken from the system; returns it."""
        import secrets

        seed = secrets.randbits(53)
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the generator was started from."""
        return self._seed

    def get_state(self):
        """The state as a uint8 tensor of 5056 bytes, exchangeable with PyTorch's."""
        from .tensor import wrap

        _settle()
        state = self._bits.state["state"]
        raw = np.zeros(STATE_BYTES, np.uint8)
        words = raw.view(np.uint64)
        words[0] = self._seed
        position = int(state["pos"])
        if self._fresh:
            position = 0
        raw.view(np.int32)[2:4] = (1 if self._fresh else 625 - position), 1
        words[2] = position
        words[3:627] = state["key"]
        if self._next_normal is not None:
            raw.view(np.float64)[628] = self._next_normal
            raw.view(np.int32)[1260] = 1
        return wrap(raw)

    def set_state(self, new_state) -> None:
        """Go on from a state that `get_state` gave. RuntimeError if it is not one."""
        from .tensor import array

        raw = np.ascontiguousarray(array(new_state))
        if raw.dtype != np.uint8 or raw.size != STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG "
                f"state size to be {raw.nbytes}"
            )
        _settle()
        words = raw.view(np.uint64)
        left, seeded = raw.view(np.int32)[2:4]
        position = int(words[2])
        if not seeded or position > 624 or not 0 < left <= 624:
            raise RuntimeError("Invalid mt19937 state")
        self._seed = int(words[0])
        self._fresh = left == 1 and position == 0
        self._bits.state = {
            "bit_generator": "MT19937",
            "state": {
                "key": words[3:627].astype(np.uint32),
                "pos": 624 if self._fresh else position,
            },
        }
        valid = raw.view(np.int32)[1260]
        self._next_normal = float(raw.view(np.float64)[628]) if valid else None

    def clone_state(self) -> Generator:
        """A generator with the same state."""
        made = Generator(self.device)
        made.set_state(self.get_state())
        return made

    def _aside(self) -> Generator:
        """A generator that goes on from the state as it is while a program runs: for running it again."""
        made = object.__new__(Generator)
        made.__dict__.update(self.__dict__)
        if self._engine is not None:
            made._engine = np.random.MT19937()
            made._engine.state = self._engine.state
        return made

    # ---------------------------------------------------------------- raw words

    def raw32(self, n: int) -> np.ndarray:
        """The next n 32-bit words, as uint64."""
        if n:
            self._fresh = False
        return self._bits.random_raw(n)

    def raw64(self, n: int) -> np.ndarray:
        """The next n 64-bit words: the first 32 bits drawn are the high ones."""
        w = self.raw32(2 * n)
        return (w[0::2] << np.uint64(32)) | w[1::2]

    # ---------------------------------------------------------------- numbers

    def unit(self, n: int, kind: str) -> np.ndarray:
        """n numbers in [0, 1) with as many random bits as the dtype's mantissa, as that dtype
        (half types as float32)."""
        if kind == "float64":
            if n <= FEW:
                return np.array(self.few(n))
            return (self.raw64(n) & np.uint64(MANTISSA)) * 2.0**-53
        bits = {"float16": 11, "bfloat16": 8}.get(kind, 24)
        words = self.raw32(n) & np.uint64((1 << bits) - 1)
        return words.astype(np.float32) * np.float32(2.0**-bits)

    def few(self, n: int) -> list[float]:
        """`unit` of float64, sooner where n is small."""
        words = self.raw32(2 * n).tolist()
        return [((high << 32 | low) & MANTISSA) * 2.0**-53 for high, low in zip(words[::2], words[1::2])]

    def uniform(self, n: int, kind: str, low: float, high: float) -> np.ndarray:
        """n uniform numbers in [low, high)."""
        u = self.unit(n, kind)
        d = u.dtype.type
        return u * d(d(high) - d(low)) + d(low)

    def normal(self, n: int, kind: str, contiguous=True, exact=False) -> np.ndarray:
        """n standard normal numbers: in blocks of 16 for 16 or more, one by one otherwise."""
        if n < 16 or not contiguous:
            return self.normal_one_by_one(n, exact)
        u = self.unit(n, kind)
        whole = n // 16 * 16
        made = u.copy()
        made[:whole] = box_muller(u[:whole])
        if n % 16:
            made[-16:] = box_muller(self.unit(16, kind))
        return made

    def normal_one_by_one(self, n: int, exact=False) -> np.ndarray:
        """n standard normal numbers in float64, two from each pair of uniform ones.

        exact: with the C library's functions, where the last bit of a double is seen.
        """
        log1p, cos, sin = (
            (partial(libm, f) for f in (math.log1p, math.cos, math.sin)) if exact
            else (np.log1p, np.cos, np.sin)
        )
        made = np.empty(n)
        at = 0
        if n and self._next_normal is not None:
            made[0], self._next_normal, at = self._next_normal, None, 1
        pairs = (n - at + 1) // 2
        if pairs:
            u = self.unit(2 * pairs, "float64")
            radius = np.sqrt(-2.0 * log1p(-u[1::2]))
            angle = 2.0 * math.pi * u[0::2]
            both = np.empty(2 * pairs)
            both[0::2], both[1::2] = radius * cos(angle), radius * sin(angle)
            made[at:] = both[: n - at]
            if (n - at) % 2:
                self._next_normal = float(both[-1])
        return made

    @contextlib.contextmanager
    def one_by_one(self):
        """A function that gives the next uniform number in [0, 1), for samplers that need an
        unknown count of them. Numbers are drawn ahead; afterwards the state counts those taken."""
        before, taken = self._bits.state, 0
        ahead: list[float] = []

        def draw() -> float:
            nonlocal taken
            if not ahead:
                ahead.extend(self.unit(max(64, min(taken, 1 << 16)), "float64")[::-1].tolist())
            taken += 1
            return ahead.pop()

        yield draw
        if ahead:
            self._bits.state = before
            self.raw32(2 * taken)

    def below(self, n: int, low: int, high: int) -> np.ndarray:
        """n integers in [low, high) as int64."""
        span = high - low
        if span >= 1 << 28:
            words = self.raw64(n)
            if span < 1 << 64:
                words = words % np.uint64(span)
        else:
            words = self.raw32(n) % np.uint64(span)
        return (words + np.uint64(low & 0xFFFFFFFFFFFFFFFF)).astype(np.int64)

    def bernoulli(self, n: int, p) -> np.ndarray:
        """n booleans that are true with probability p (a number, or an array of n)."""
        kind = str(p.dtype) if isinstance(p, np.ndarray) else "float64"
        return self.unit(n, kind if kind in ("float32", "float64") else "float32") < p

    def exponential(self, n: int, rate: float, exact=False) -> np.ndarray:
        """n exponential numbers, float64. exact: as in `normal_one_by_one`."""
        u = self.unit(n, "float64")
        np.negative(u, u)
        u = libm(math.log1p, u) if exact else np.log1p(u, u)
        u *= -1.0 / rate
        return u

    def permutation(self, n: int) -> np.ndarray:
        """The numbers below n in random order (Fisher and Yates), int64."""
        if n < 2:
            return np.arange(n)
        picks = (self.raw32(n - 1) % np.arange(n, 1, -1).astype(np.uint64)).tolist()
        order = list(range(n))
        for i, k in enumerate(picks):
            k += i
            order[i], order[k] = order[k], order[i]
        return np.array(order, np.int64)

    def __reduce__(self):
        return _rebuild, (np.array(self.get_state().numpy()),)


def _rebuild(state):
    from .tensor import wrap

    made = Generator()
    made.set_state(wrap(state))
    return made


def _settle() -> None:
    """Random numbers that were asked for are drawn before the state is touched."""
    from .segments import flush

    flush()


default_generator = Generator()
DEFAULT_GENERATOR[0] = default_generator
