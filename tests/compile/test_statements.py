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


def test_a_matrix_is_packed_once():
    def chain():
        h = A
        for _ in range(5):
            h = torch.tanh(torch.nn.functional.linear(h, W))[:, :256] * 0.9
        return h

    assert labels(chain).count("pack_right") == 1


def test_a_matrix_is_packed_once_for_products_that_are_cut_along_k():
    """Such a product is two calls, and the first of them reads the packed matrix."""
    first, second = torch.nn.Linear(784, 512), torch.nn.Linear(512, 256)
    inputs = torch.rand(4, 64, 784, generator=numbers)

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
