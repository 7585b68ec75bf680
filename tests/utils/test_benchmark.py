"""torch.utils.benchmark: what is measured, and its table. (No test looks at a time.)"""

import itertools

import pytest

import rushlight as torch
from rushlight.utils.benchmark import Compare, Measurement, Timer, select_unit

pytestmark = pytest.mark.filterwarnings("error")


def clock():
    """A clock that goes on by a millisecond each time it is read."""
    return map(lambda n: n / 1000, itertools.count()).__next__


def test_blocks():
    seen = []
    measured = Timer("f()", setup="g = 1", timer=clock(), globals={"f": lambda: seen.append(1)}).timeit(50)
    assert measured.number_per_run == 50 and measured.setup == "g = 1" and len(seen) > 50
    assert measured.times == [pytest.approx(0.001 / 50)]
    told = []
    measured = Timer(timer=clock()).blocked_autorange(lambda n, t: told.append((n, t)), min_run_time=0.01)
    assert len(told) == len(measured.raw_times) > 2 and sum(measured.raw_times) >= 0.01
    assert len(Timer(timer=clock()).adaptive_autorange().raw_times) >= 3


def test_results_are_computed():
    for stmt in ("seen.append(x * 2)", "y = x * 2; seen.append(y)"):
        computed, before = [], torch.get_num_threads()
        Timer(stmt, globals={"x": torch.ones(3), "seen": computed}, num_threads=1).timeit(2)
        assert len(computed) >= 4 and all(y._tr is None for y in computed)
        assert torch.get_num_threads() == before


def test_measurements_and_tables():
    a = Measurement(10, [1.0, 1.2, 1.1, 1.1], stmt="x + y", label="add", sub_label="big", description="old")
    assert (a.mean, a.median) == (pytest.approx(0.11), pytest.approx(0.11)) and not a.has_warnings
    assert a.title == "add: big" and "110.00 ms" in repr(a) and "4 blocks of 10 runs" in repr(a)
    b = Measurement(10, [0.5], stmt="x + y", label="add", sub_label="big", description="new")
    assert Measurement.merge([a, b, a])[0].raw_times == a.raw_times * 2
    table = str(Compare([a, b])).splitlines()
    assert table[0] == "[ add ]" and "old" in table[1] and "110.000" in table[2] and "50.000" in table[2]
    assert select_unit(3e-7) == ("ns", 1e-9) and select_unit(5.0) == ("s", 1.0)


def test_refused():
    with pytest.raises(ValueError, match="Measurement"):
        Compare([1])
    with pytest.raises(NotImplementedError, match="Python"):
        Timer("x", language="c++")
    with pytest.raises(NotImplementedError):
        Timer("x").autorange()
    with pytest.raises(AttributeError, match="not there"):
        torch.utils.benchmark.Fuzzer  # noqa: B018
