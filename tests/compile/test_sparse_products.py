"""Sparse products, and their gradients, are ordinary operators: all of them become native."""

from __future__ import annotations

import pytest
from compile.compiled import check_native

import rushlight as torch

A = torch.tensor([[0.0, 1, 2], [3, 0, 0], [0, 0, 1]])
X = torch.arange(12.0).reshape(3, 4)


def product(a):
    return torch.sparse.mm(a, X)


def dense_gradient(a):
    x = X.detach().requires_grad_()
    torch.sparse.mm(a, x).pow(2).sum().backward()
    return x.grad


def sparse_gradient(a):
    leaf = a.detach().requires_grad_()
    torch.sparse.mm(leaf, X).pow(2).sum().backward()
    return leaf.grad._values()


def table_gradient(a):
    table = X.detach().requires_grad_()
    read = torch.nn.functional.embedding(torch.tensor([1, 2, 1]), table, sparse=True)
    read.pow(2).sum().backward()
    return table.grad._values()


@pytest.mark.parametrize("layout", ["coo", "csr"])
@pytest.mark.parametrize("function", [product, dense_gradient, sparse_gradient, table_gradient])
def test_products_become_native(function, layout):
    a = getattr(A, f"to_sparse_{layout}")()
    check_native(lambda: function(a))
