"""Vector maths: ulp against wider references, special values, any number of lanes, every target."""

import math

import numpy as np
import pytest
import torch
from compile.llvm.lanes import executable, level, loop_text, run

from rushlight.compile.llvm import objects, target, vector_math
from rushlight.compile.llvm.builder import vector

DTYPE = {"float": np.float32, "double": np.float64}
TWO = ("pow", "atan2", "fmod")
ONE = [name for name in vector_math.FUNCTIONS if name not in TWO]
BOUND = 2.4 if target.host().name == "generic128" else 2  # (without fused multiply-add)
WIDER = np.finfo(np.longdouble).nmant > 60
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -3.0, math.pi]


def text(name: str, type: str, lanes: int) -> str:
    def write(f, lanes, *xs):
        return vector_math.emit(f, name, type, lanes, *xs)

    return loop_text(write, type, type, lanes, 2 if name in TWO else 1)


def native(name: str, *arrays: np.ndarray, lanes: int = 8) -> np.ndarray:
    type = "float" if arrays[0].dtype == np.float32 else "double"
    return run(text(name, type, lanes), lanes, arrays[0].dtype, *arrays)


def inputs(dtype, count: int, seed: int = 0) -> np.ndarray:
    """All signs and exponents, numbers around 0 and 1, and special values."""
    random = np.random.default_rng(seed)
    integer = np.uint32 if dtype == np.float32 else np.uint64
    bits = np.linspace(0, np.iinfo(integer).max, count // 2, endpoint=False).astype(integer)
    bits += random.integers(0, np.iinfo(integer).max // count, count // 2, integer)
    near = [
        scale * random.uniform(-1, 1, count // 8) for scale in (1, 30, np.log(np.finfo(dtype).max))
    ]
    around_one = 1 + random.uniform(-0.5, 0.5, count // 8)
    info = np.finfo(dtype)
    edges = [info.max, info.min, info.tiny, -info.tiny, info.smallest_subnormal]
    with np.errstate(invalid="ignore"):
        numbers = np.concatenate([*near, around_one, SPECIAL, edges]).astype(dtype)
        return np.concatenate([bits.view(dtype), numbers])


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    integer = np.int32 if a.dtype == np.float32 else np.int64
    return bool(((a.view(integer) == b.view(integer)) | (np.isnan(a) & np.isnan(b))).all())


def worst(made: np.ndarray, wanted: np.ndarray, *given: np.ndarray) -> tuple:
    """The greatest distance in ulp of the correctly rounded result, and where; NaN, signs too."""
    with np.errstate(all="ignore"):
        rounded = wanted.astype(made.dtype)
        ulp = np.abs(np.spacing(rounded)).astype(wanted.dtype)
        distance = np.abs(made.astype(wanted.dtype) - wanted) / ulp
    equal = (made == rounded) | (np.isnan(made) & np.isnan(rounded))
    distance[equal & ~np.isfinite(rounded)] = 0
    wrong_sign = (np.signbit(made) != np.signbit(rounded)) & ~np.isnan(rounded)
    distance[(~equal & ~(np.isfinite(made) & np.isfinite(rounded))) | wrong_sign] = math.inf
    i = int(np.argmax(distance))
    return float(distance[i]), [x[i] for x in given], made[i], wanted[i]


def double_reference(name: str, x: np.ndarray) -> np.ndarray:
    """Of floats, in double."""
    if name == "cbrt":
        return np.cbrt(x.astype(np.float64))
    function = {"rint": torch.round}.get(name) or getattr(torch, name)
    return function(torch.from_numpy(x.astype(np.float64))).numpy()


def long_reference(name: str, x: np.ndarray) -> np.ndarray:
    """Of doubles, in long double where there is one with more bits."""
    names = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh",
             "acosh": "arccosh", "atanh": "arctanh"}
    wide = x.astype(np.longdouble)
    if name == "sigmoid":
        e = np.exp(-np.abs(wide))
        return np.where(wide < 0, e, 1) / (1 + e)
    if name == "rsqrt":
        return 1 / np.sqrt(wide)
    return getattr(np, names.get(name, name))(wide)


@pytest.mark.parametrize("name", ONE)
def test_float32(name):
    x = inputs(np.float32, 1 << 18)
    with np.errstate(all="ignore"):
        made = native(name, x)
        found = worst(made, double_reference(name, x), x)
    assert found[0] < BOUND, found
    some = np.concatenate([x[:: x.size // 4096], x[-20:]])
    assert same_bits(native(name, some, lanes=1), native(name, some))


@pytest.mark.parametrize("name", sorted({*ONE} - {"erf", "erfc", "erfinv", "lgamma", "digamma"}))
def test_float64(name):
    x = inputs(np.float64, 1 << 15)
    with np.errstate(all="ignore"):
        found = worst(native(name, x, lanes=4), long_reference(name, x), x)
    assert found[0] < (BOUND + 0.2 if WIDER else 3), found
    some = np.concatenate([x[:: x.size // 1024], x[-20:]])
    assert same_bits(native(name, some, lanes=1), native(name, some, lanes=4))


def test_erf_of_float64():
    x = inputs(np.float64, 1 << 13)
    found = worst(native("erf", x, lanes=4), np.array([math.erf(v) for v in x]), x)
    assert found[0] < 3, found


@pytest.mark.parametrize("name", ["erfc", "erfinv", "lgamma", "digamma"])
def test_rarer_functions_of_float64(name):
    x = inputs(np.float64, 1 << 13)
    x = x[(np.abs(x) < 1e10) & ((x > -20) | (name == "erfc"))]
    wanted = double_reference(name, x)
    np.testing.assert_allclose(native(name, x, lanes=4), wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["pow", "atan2", "fmod"])
def test_two_operands(name, dtype):
    random = np.random.default_rng(3)
    x = inputs(dtype, 1 << 13, 1)
    x, y = random.permutation(x), random.permutation(x)
    with np.errstate(all="ignore"):
        y[: y.size // 2] = x[: y.size // 2] * np.exp(random.normal(size=y.size // 2) * 4)
        if name == "pow":
            x[: x.size // 4] = 1 + random.normal(size=x.size // 4) * 0.01
            y[: y.size // 4] = random.normal(size=x.size // 4) * 2000
        numbers = [*SPECIAL, 2.0, -2.0, 3.0, 1e30, -1e30, np.finfo(dtype).smallest_subnormal,
                   2.0 ** np.finfo(dtype).nmant + 1, np.finfo(dtype).max, -np.finfo(dtype).max]
        a, b = (v.ravel() for v in np.meshgrid(numbers, numbers))
        x, y = np.concatenate([x, a]).astype(dtype), np.concatenate([y, b]).astype(dtype)
        made = native(name, x, y)
        function = {"pow": np.power, "atan2": np.arctan2, "fmod": np.fmod}[name]
        wide = np.longdouble if dtype == np.float64 else np.float64
        wanted = function(x, y) if name == "fmod" else function(x.astype(wide), y.astype(wide))
    found = worst(made, wanted, x, y)
    assert found[0] <= (0 if name == "fmod" else 2 if WIDER or wide == np.float64 else 3), found
    assert same_bits(native(name, x[-600:], y[-600:], lanes=1), made[-600:])


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_next_to_multiples_of_a_quarter_turn(name, dtype):
    k = np.arange(1, 8100, dtype=np.float64)
    far = np.ldexp(1.0, np.arange(1, np.finfo(dtype).maxexp))
    x = np.concatenate([k * (math.pi / 2), far])
    with np.errstate(over="ignore"):
        x = x.astype(dtype)
    x = x[np.isfinite(x)]
    x = np.concatenate([x, np.nextafter(x, dtype(0)), -x])
    wanted = np.array([getattr(math, name)(v) for v in x.astype(np.float64)])
    found = worst(native(name, x), wanted, x)
    assert found[0] < (BOUND if dtype == np.float32 else 2.6), found


def test_the_double_that_is_nearest_to_a_multiple_of_a_quarter_turn():
    x = np.full(4, math.ldexp(6381956970095103, 797))  # as Kahan and McDonald found
    for y, sign in ((x, 1), (-x, -1)):
        assert native("cos", y, lanes=4)[0] == pytest.approx(-4.687165924254628e-19, rel=2e-16)
        tangent = native("tan", y, lanes=4)[0]
        assert tangent == pytest.approx(sign * -2.1334853857537040e18, rel=4e-16)


@pytest.mark.parametrize("here", executable())
def test_levels_that_run_here(here):
    x = inputs(np.float32, 1 << 13)
    with level(here), np.errstate(all="ignore"):
        for name in ("exp", "log", "tanh", "sigmoid", "erf", "sin", "cos", "tan", "expm1", "log1p"):
            lanes = target.host().lanes(4)
            found = worst(native(name, x, lanes=lanes), double_reference(name, x), x)
            assert found[0] < 2.4, (name, *found)
        y = inputs(np.float64, 1 << 12)
        for name in ("exp", "log", "tanh", "sin"):
            lanes = target.host().lanes(8)
            found = worst(native(name, y, lanes=lanes), long_reference(name, y), y)
            assert found[0] < (2.4 if WIDER else 3.4), (name, *found)
        found = worst(native("pow", y, y, lanes=2), np.power(*[y.astype(np.longdouble)] * 2), y)
        assert found[0] < (2 if WIDER else 3), found


@pytest.mark.parametrize("elsewhere", sorted({*target.LEVELS} - {*executable()}))
def test_levels_that_only_compile_here(elsewhere):
    level = target.LEVELS[elsewhere]
    for i, name in enumerate(vector_math.FUNCTIONS):
        type = ("float", "double")[i % 2]
        lanes = level.lanes(np.dtype(DTYPE[type]).itemsize)
        made = text(name, type, lanes)
        assert vector(type, lanes) in made
        assert len(objects.compile_text(made, level)) > 500
