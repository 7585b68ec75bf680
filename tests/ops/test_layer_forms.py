"""Layers under their names in torch itself, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import Given, check

import rushlight

rng = np.random.default_rng(41)


def n(*shape):
    return np.asarray(rng.standard_normal(shape))


def fixed(*shape):
    return Given(np.abs(n(*shape)) + 0.5, grad=False)


def test_embedding():
    ids = np.array([[0, 2], [1, 0]])
    check("embedding", n(3, 4), ids)
    check("embedding", n(3, 4), ids, 0, True)

    def bag(T, *given):
        return T.embedding_bag(*given)[0]

    for mode in (0, 1, 2):
        for rest in ((None, False, None), (None, False, 1)):
            check(bag, n(5, 2), np.array([0, 1, 4, 1]), np.array([0, 1, 1]), False, mode, False, *rest)
    check(bag, n(5, 2), np.array([0, 1, 4]), np.array([0, 2, 3]), False, 0, False, n(3), True)
    for T in (torch, rushlight):
        w = T.tensor([[3.0, 4.0], [0.3, 0.4]])
        assert T.embedding_renorm_(w, T.tensor([0, 1]), 1.0, 2.0) is w
        np.testing.assert_allclose(w.numpy(), [[0.6, 0.8], [0.3, 0.4]], 1e-5)


def test_norms_and_losses():
    for training in (True, False):
        check("batch_norm", n(4, 3, 2), n(3), n(3), fixed(3), fixed(3), training, 0.3, 1e-5, True)
        check("instance_norm", n(4, 3, 2), n(3), n(3), fixed(3), fixed(3), training, 0.3, 1e-5, True)
    for reduction in (0, 1, 2):
        check("poisson_nll_loss", n(3, 2), fixed(3, 2), True, True, 1e-8, reduction)
    for dim in (-1, 0, 1, 2):
        check("norm_except_dim", n(2, 3, 4), 2, dim, strides=False)


def test_dropouts_write():
    for name in ("dropout_", "feature_dropout_", "alpha_dropout_", "feature_alpha_dropout_"):
        for T in (torch, rushlight):
            x = T.ones(2, 3, 4)
            assert getattr(T, name)(x, 0.0, True) is x and x.eq(1).all()
            assert getattr(T, name)(x, 0.5, False) is x


def test_windows():
    check("adaptive_max_pool1d", n(2, 3, 7), 3)
    check("max_pool1d_with_indices", n(2, 3, 7), 3, 2, 1)
    check("affine_grid_generator", n(2, 2, 3), (2, 1, 3, 4), False)
    check("conv_tbc", n(5, 2, 3), n(3, 3, 4), n(4), 1)
    check("convolution", n(2, 4, 7), n(6, 2, 3), n(6), (2,), (1,), (1,), False, (0,), 2)
    check("convolution", n(2, 3, 5, 6), n(3, 4, 3, 2), None, (2, 1), (1, 0), (1, 1), True, (1, 0), 1)


MODES = [("lstm", 4), ("gru", 3), ("rnn_tanh", 1), ("rnn_relu", 1)]


@pytest.mark.parametrize("name, gates", MODES)
@pytest.mark.parametrize("bias", [True, False])
def test_recurrent_layers(name, gates, bias):
    inputs, hidden, layers = 3, 5, 2
    params = []
    for layer in range(layers):
        for _ in range(2):
            width = inputs if layer == 0 else 2 * hidden
            params += [n(gates * hidden, width), n(gates * hidden, hidden)]
            params += [n(gates * hidden), n(gates * hidden)] if bias else []
    state = n(2 * layers, 4, hidden), n(2 * layers, 4, hidden)
    x, packed, sizes = n(4, 6, inputs), n(9, inputs), np.array([4, 3, 2])
    found = []
    for T in (torch, rushlight):
        def t(a, T=T):
            return T.tensor(a)

        hx = tuple(map(t, state)) if name == "lstm" else t(state[0])
        weights = [t(p) for p in params]
        one = getattr(T, name)(t(x), hx, weights, bias, layers, 0.0, False, True, True)
        two = getattr(T, name)(t(packed), t(sizes), hx, weights, bias, layers, 0.0, False, True)
        found.append([r.numpy() for r in (*one, *two)])
    assert len(found[0]) == len(found[1])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, 1e-9, 1e-9)


@pytest.mark.parametrize("name, gates", MODES)
def test_cells(name, gates):
    x, w, u, b, c = n(4, 3), n(gates * 5, 3), n(gates * 5, 5), n(gates * 5), n(gates * 5)
    h = n(4, 5), n(4, 5)
    for given in ((w, u), (w, u, b, c)):
        made = []
        for T in (torch, rushlight):
            hx = tuple(map(T.tensor, h)) if name == "lstm" else T.tensor(h[0])
            r = getattr(T, name + "_cell")(T.tensor(x), hx, *map(T.tensor, given))
            made.append([v.numpy() for v in (r if isinstance(r, tuple) else (r,))])
        for a, b2 in zip(*made, strict=True):
            np.testing.assert_allclose(b2, a, 1e-9, 1e-9)


def test_removed_functions_name_the_new_ones():
    for name in ("eig", "lstsq", "matrix_rank", "solve", "symeig"):
        with pytest.raises(RuntimeError, match="torch.linalg"):
            getattr(rushlight, name)(rushlight.eye(2))
