"""Rare functions of torch, and older methods of Tensor, against PyTorch."""

from __future__ import annotations

import pytest
from oracle import check_program

import rushlight

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


@program
def grouped_products(T):
    a, w = T.arange(40.0).reshape(5, 8), T.arange(64.0).reshape(2, 8, 4)
    mm = T.nn.functional.grouped_mm
    ends = T.tensor([2, 5], dtype=T.int32)
    return mm(a, w, offs=ends), mm(w, w.mT)


@program
def numbers_on_a_grid(T):
    x = T.linspace(-3, 30, 50).requires_grad_()
    y = T.fake_quantize_per_tensor_affine(x, 0.1, 10, 0, 255)
    y.sum().backward()
    z = T.fake_quantize_per_channel_affine(
        T.linspace(-3, 3, 12).reshape(3, 4), T.tensor([0.1, 0.2, 0.3]), T.tensor([0, 1, 2], dtype=T.int32), 0, -4, 4)
    return y.detach(), x.grad, z


@program
def hashes(T):
    x = T.arange(12)
    found = [T.hash_tensor(x), T.hash_tensor(x.reshape(3, 4).double(), 0), x.reshape(3, 4).hash_tensor(dim=1, keepdim=True),
             T.hash_tensor(T.tensor(1.5))]
    return [h.tolist() for h in found]


@program
def sparse_products(T):
    a = T.tensor([[0.0, 2.0], [1.0, 0.0]]).to_sparse()
    b = T.ones(2, 2)
    return T.spmm(a, b), T.dsmm(a, b), T.sspaddmm(a, a, b, beta=2, alpha=3).to_dense(), T.hsmm(a, b).to_dense()


@program
def copies_of_parts(T):
    a = T.eye(3).to_sparse_csr()
    return T.crow_indices_copy(a), T.col_indices_copy(a), T.values_copy(a)


@program
def statistics(T):
    x = T.linspace(-1, 3, 24).reshape(4, 3, 2)
    mean, var = T.zeros(3), T.ones(3)
    return T.batch_norm_update_stats(x, mean, var, 0.1), mean, var


@program
def largest_eigenvalues(T):
    a = T.diag(T.arange(1.0, 10.0)) + 0.1
    return T.lobpcg(a, 2, niter=300)[0]


@program
def older_methods(T):
    x = T.zeros(2, 2, dtype=T.int32)
    said = []
    for name in ("eig", "symeig"):
        try:
            getattr(x, name)()
        except RuntimeError:
            said.append(name)
    return (x.new([1, 2]), x.resize(4), x.dequantize(), x.name, x.volatile, x.is_distributed(), said,
            T.ones(1).storage_type().__name__, T.ones(1).__nonzero__())


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_pytorch(name):
    check_program(PROGRAMS[name])


def test_batch_norm_in_parts():
    """Statistics of parts, gathered, give the whole batch's norm and its gradient."""
    T = rushlight
    x = T.linspace(-2, 5, 60).reshape(6, 2, 5).requires_grad_()
    w, b, g = T.tensor([1.5, -0.5]), T.tensor([0.1, 0.2]), T.linspace(0, 1, 60).reshape(6, 2, 5)
    mean, var = T.zeros(2), T.ones(2)
    whole = T.nn.functional.batch_norm(x, mean, var, w, b, True, 0.1, 1e-5)
    whole.backward(g)
    parts = x.detach()[:2], x.detach()[2:]
    stats = [T.batch_norm_stats(p, 1e-5) for p in parts]
    counts = T.tensor([10.0, 20.0])
    mean2, var2 = T.zeros(2), T.ones(2)
    m, r = T.batch_norm_gather_stats_with_counts(
        parts[0], T.stack([s[0] for s in stats]), T.stack([s[1] for s in stats]), mean2, var2, 0.1, 1e-5, counts)
    made = T.cat([T.batch_norm_elemt(p, w, b, m, r, 1e-5) for p in parts])
    sums = [T.batch_norm_backward_reduce(q, p, m, r, w, True, True, True)[:2] for p, q in zip(parts, (g[:2], g[2:]), strict=True)]
    dy, dyx = sums[0][0] + sums[1][0], sums[0][1] + sums[1][1]
    back = T.cat([T.batch_norm_backward_elemt(q, p, m, r, w, dy, dyx, counts) for p, q in zip(parts, (g[:2], g[2:]), strict=True)])
    for a, c in ((made, whole.detach()), (back, x.grad), (mean2, mean), (var2, var)):
        assert T.allclose(a, c, 1e-4, 1e-5)


def test_numbers_of_a_file(tmp_path):
    path = str(tmp_path / "numbers")
    rushlight.from_file(path, shared=True, size=4).add_(2)
    assert rushlight.from_file(path, size=3).tolist() == [2.0, 2.0, 2.0]
