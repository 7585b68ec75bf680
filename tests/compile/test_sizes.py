"""Sizes note what is computed from them: evaluated for other numbers, it is what would have been computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.compile import sizes
from rushlight.compile.sizes import Record, Size, later, least, most, told


def recorded(f, *numbers):
    """(what f returns for sizes, a function that evaluates it for other numbers)."""
    record = Record()
    made = f(*[record.input(n) for n in numbers])
    record.close()
    names = [x.name for x in made if isinstance(x, Size)]
    values = record.compiled(names)

    def evaluate(*others):
        found = values(*others)
        if found is None:
            return None
        found = iter(found)
        return tuple([next(found) if isinstance(x, Size) else x for x in made])

    return made, evaluate


def cut(n, m):
    """Arithmetic of the kind that planning does."""
    step = max(-(-n // 3), 1)
    rest = n - step * (n // step)
    if n % 2 == 0 and m > 10:
        rest += m * 4
    return step, rest, least(n, m, 7), most(n + m, 2 * n), divmod(n, 5)[1], abs(m - n)


numbers = st.integers(1, 60)


@given(numbers, numbers, numbers, numbers)
@settings(max_examples=300, deadline=None)
def test_evaluated_for_other_numbers(n, m, n2, m2):
    made, evaluate = recorded(cut, n, m)
    assert tuple(map(sizes.plain, made)) == cut(n, m)
    assert evaluate(n, m) == cut(n, m)
    found = evaluate(n2, m2)
    assert found is None or found == cut(n2, m2)


def test_conditions_exclude_what_takes_another_branch():
    _, evaluate = recorded(lambda n: (n + 1 if n > 5 else n - 1,), 8)
    assert evaluate(6) == (7,) and evaluate(5) is None


@pytest.mark.parametrize("use", [range, float, "{:d}".format, [10, 20, 30, 40].__getitem__, math.sqrt])
def test_what_needs_a_number_pins_it(use):
    def f(n):
        try:
            use(n)
        except TypeError:
            int(n)
        return (n * 2,)

    _, evaluate = recorded(f, 3)
    assert evaluate(3) == (6,) and evaluate(4) is None


def test_dictionaries_find_equal_sizes():
    made, evaluate = recorded(lambda n, m: ({n: 1}.get(m, 0), n), 3, 3)
    assert made[0] == 1
    assert evaluate(5, 5) == (1, 5) and evaluate(5, 4) is None


@dataclass(frozen=True)
class Block:
    rows: int
    name: str
    inner: tuple = ()


def planned(block, n):
    """Branches on everything, which `later` hides."""
    rows = [r for r in range(1, n + 1) if block.rows % r == 0][-1]
    return Block(rows, f"{rows} of {block.rows}", (block.inner[0] + 1, None)), rows > 2


def test_functions_wait_for_sizes():
    made, evaluate = recorded(
        lambda n: (lambda found: (found[0].rows, found[0].name, found[0].inner[0], found[1]))(
            later(planned, Block(n, "block", (n,)), 7)), 12)
    assert [sizes.plain(x) for x in made] == [6, "6 of 12", 13, True]
    assert evaluate(10) == (5, "5 of 10", 11, True)
    assert evaluate(11) == (1, "1 of 11", 12, False)


def test_without_sizes_nothing_waits():
    assert later(planned, Block(12, "", (1,)), 7) == planned(Block(12, "", (1,)), 7)
    assert least(3, 2) == 2 and most(3, 2) == 3 and told("{}x{}", 2, 3) == "2x3"


def test_texts_are_written_when_they_are_read():
    record = Record()
    n = record.input(3)
    label = told("{} by {}", n, 4)
    whole = told("a product {}", label)
    record.close()
    assert str(whole) == "a product 3 by 4"
    assert whole.names() == [n.name] and whole.written({n.name: 9}) == "a product 9 by 4"


def test_floats():
    _, evaluate = recorded(lambda n: (1.0 / n, n * 0.5, n / 4), 4)
    assert evaluate(10) == (0.1, 5.0, 2.5)


def test_closed_sizes_are_numbers():
    record = Record()
    n = record.input(4)
    record.close()
    assert n + 1 == 5 and n * n == 16 and hash(n) == hash(4) and list(range(n)) == [0, 1, 2, 3]
