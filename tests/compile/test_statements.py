"""What products of matrices take up, and what they share."""

import pytest
from compile.compiled import check_native

import rushlight as torch

numbers = torch.Generator().manual_seed(0)
A, W, X, BIAS, PARTS = (torch.randn(*shape, generator=numbers)
                        for shape in ((32, 256), (1024, 256), (32, 1024), (1024,), (32, 5, 1024)))
W, PART = W * 0.03, PARTS[:, 2]


def labels(function):
    return [str(c.label).split(" ")[0] for p in check_native(function, 1e-4, 1e-4) for c in p.calls]


@pytest.mark.parametrize("function", [
    lambda: X + A @ W.t(), lambda: A @ W.t() + BIAS, lambda: W + X.t() @ A,
    lambda: torch.nn.functional.linear(A, W, BIAS) + PART,
], ids=["matrix", "row", "transposed", "both"])
def test_a_product_takes_up_a_sum(function):
    assert labels(function) == ["tiles"]


def test_a_product_is_added_in_place():
    def step():
        total = W.clone()
        total += X.t() @ A
        return total

    assert "add" not in labels(step)


def test_sums_that_are_not_taken_up():
    """A product that is needed for itself, or whose operand changes before the sum."""
    def twice():
        y = A @ W.t()
        return y + X, y * 2

    def overwritten():
        a = A.clone()
        y = a @ W.t()
        a.zero_()
        return y + X, a

    for function in (twice, overwritten):
        assert labels(function)


def chain(used=None, first=None, count=6):
    """The sum of some products; `used`: also what does with the sum of the first ones."""
    total, made = first, []
    for k in range(count):
        p = X.t() @ (A * (k + 1.0))
        total = p if total is None else total + p
        if used is not None and k == 2:
            made.append(used(total))
    return total, *made


@pytest.mark.parametrize("function", [
    chain, lambda: chain(first=W), lambda: chain(used=lambda t: t), lambda: chain(used=lambda t: t * 2.0),
    lambda: chain(used=lambda t: t[3:5].clone()), lambda: chain(used=lambda t: t.detach().mul_(0.5)),
    lambda: chain()[0].t() + 1.0, lambda: (chain()[0], chain(first=W)[0] * 2.0),
], ids=["alone", "of a matrix", "wanted", "read", "a part", "overwritten", "turned", "two"])
def test_products_are_summed_up_in_place(function):
    """Whoever else reads a sum on the way, or writes to it."""
    assert labels(function).count("tiles") >= 6


def test_sums_of_products_share_memory():
    """One sum of 1 MB is in the arena, however many there are."""
    program = check_native(lambda: chain(count=12)[0] * 1.5, 1e-3, 1e-3)[-1]
    assert [nbytes for *_, nbytes, _ in program.lives].count(X.shape[1] * A.shape[1] * 4) == 1


def test_a_sum_in_the_memory_of_a_leaf():
    """A gradient that is accumulated: what it was is added, not what is there after the first product."""
    def step():
        total = W.clone()
        old = total * 1.0
        a = X.t() @ A
        b = X.t() @ (A * 2.0)
        total.add_(a + b)
        return total, old

    check_native(step, 1e-4, 1e-4)


def test_a_matrix_is_packed_once():
    def chain():
        h = A
        for _ in range(5):
            h = torch.tanh(torch.nn.functional.linear(h, W))[:, :256] * 0.9
        return h

    assert labels(chain).count("pack_right") == 1


def test_a_matrix_is_packed_once_for_products_that_are_cut_along_k():
    """Such a product is two calls, and the first of them reads the packed matrix."""
    first, second = torch.nn.Linear(2048, 128), torch.nn.Linear(128, 512)
    inputs = torch.rand(4, 64, 2048, generator=numbers)

    def network():
        with torch.no_grad():
            return [second(torch.relu(first(x))).sum() for x in inputs]

    found = labels(network)
    assert found.count("pack_right") == 2 and "finish" in found


def test_a_matrix_that_changes_is_packed_again():
    def chain():
        w, h = W.clone() * 0.01, A
        for _ in range(4):
            h = torch.tanh(torch.nn.functional.linear(h, w))[:, :256]
            w += 0.01
        return h

    check_native(chain, 1e-4, 1e-4)


@pytest.mark.parametrize("step", [
    lambda x, w: x + x @ w, lambda x, w: x + w @ x, lambda x, w: x + x.t() @ w, lambda x, w: x + x @ x,
    lambda x, w: x + torch.nn.functional.linear(x, w), lambda x, w: x.add_(x @ w), lambda x, w: x + torch.addmm(x[0], x, w),
], ids=["left", "right", "turned", "both", "linear", "in place", "bias"])
def test_a_sum_that_is_a_factor_too(step):
    """The product before is not summed up in place where the next one multiplies it."""
    h, v, w = (torch.randn(64, 64, generator=numbers) / 8 for _ in range(3))

    def layers():
        x = h @ v
        y = step(x, w)
        del x
        return y

    check_native(layers, 1e-4, 1e-4)
