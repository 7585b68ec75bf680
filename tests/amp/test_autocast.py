"""autocast: PyTorch's dtypes, values and gradients, in every mode of execution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import check_program

import rushlight

CALLS = {
    "matmul": lambda T, x, y: x @ y,
    "mm": lambda T, x, y: T.mm(x, y),
    "bmm": lambda T, x, y: T.bmm(x[None], y[None]),
    "addmm": lambda T, x, y: T.addmm(x, x, y),
    "baddbmm": lambda T, x, y: T.baddbmm(x[None], x[None], y[None]),
    "mv": lambda T, x, y: T.mv(x, y[0]),
    "einsum": lambda T, x, y: T.einsum("ij,jk->ik", x, y),
    "linear": lambda T, x, y: T.nn.functional.linear(x, y, y[0]),
    "conv1d": lambda T, x, y: T.nn.functional.conv1d(x[None], y[:, :, None]),
    "conv2d": lambda T, x, y: T.nn.functional.conv2d(x[None, None], y[None, None]),
    "conv_transpose2d": lambda T, x, y: T.nn.functional.conv_transpose2d(x[None, None], y[None, None]),
    "attention": lambda T, x, y: T.nn.functional.scaled_dot_product_attention(
        x[None, None], y[None, None], y[None, None]),
    "add": lambda T, x, y: x + y,
    "relu": lambda T, x, y: T.relu(x),
    "prelu": lambda T, x, y: T.nn.functional.prelu(x, y[0, :1]),
    "softmax": lambda T, x, y: T.softmax(x, -1),
    "log_softmax": lambda T, x, y: x.log_softmax(-1),
    "sum": lambda T, x, y: x.sum(),
    "exp": lambda T, x, y: x.exp(),
    "prod": lambda T, x, y: x.prod(),
    "layer_norm": lambda T, x, y: T.nn.functional.layer_norm(x, (4,), y[0].float(), y[1].float()),
    "batch_norm": lambda T, x, y: T.nn.functional.batch_norm(
        x, None, None, y[0].float(), y[1].float(), True),
    "group_norm": lambda T, x, y: T.nn.functional.group_norm(
        x, 2, y[0].float(), y[1].float()),
    "mse": lambda T, x, y: T.nn.functional.mse_loss(x, y),
    "l1": lambda T, x, y: T.nn.functional.l1_loss(x, y),
    "huber": lambda T, x, y: T.nn.functional.huber_loss(x, y),
    "cross_entropy": lambda T, x, y: T.nn.functional.cross_entropy(x, T.tensor([0, 1, 2, 3])),
    "nll": lambda T, x, y: T.nn.functional.nll_loss(x, T.tensor([0, 1, 2, 3])),
    "bce": lambda T, x, y: T.nn.functional.binary_cross_entropy(x.sigmoid(), y.sigmoid()),
    "bce_logits": lambda T, x, y: T.nn.functional.binary_cross_entropy_with_logits(x, y.sigmoid()),
    "kl_div": lambda T, x, y: T.nn.functional.kl_div(x.log_softmax(1), y.softmax(1)),
    "cosine_embedding": lambda T, x, y: T.nn.functional.cosine_embedding_loss(x, y, T.ones(4)),
    "triplet": lambda T, x, y: T.nn.functional.triplet_margin_loss(x, y, x * 0.5),
    "cdist": lambda T, x, y: T.cdist(x, y),
    "trace": lambda T, x, y: T.trace(x),
    "cat": lambda T, x, y: T.cat([x, y, x.to(T.bfloat16)]),
    "stack": lambda T, x, y: T.stack([x.to(T.bfloat16), y.to(T.bfloat16)]),
    "max_pool3d": lambda T, x, y: T.nn.functional.max_pool3d(x[None, None], 1),
    "avg_pool2d": lambda T, x, y: T.nn.functional.avg_pool2d(x[None], 2),
    "pow": lambda T, x, y: x.abs().pow(2.5),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_dtypes(name, dtype):
    def run(T):
        x = ((T.arange(16.0) * 5 % 7 - 3) / 4).view(4, 4).to(getattr(T, dtype))
        y = ((T.arange(16.0) * 3 % 11 - 5) / 8).view(4, 4).to(getattr(T, dtype))
        with T.autocast("cpu"):
            return CALLS[name](T, x, y)

    try:
        theirs = run(torch)
    except RuntimeError:  # float64 and a half type in one call
        with pytest.raises(RuntimeError):
            run(rushlight)
        return
    for _ in range(3):
        ours = run(rushlight)
        assert str(ours.dtype) == str(theirs.dtype)
        tolerance = 1e-9 if dtype == "float64" else 1e-5 if theirs.dtype == torch.float32 else 2e-2
        if dtype == "bfloat16":
            tolerance = 2e-2
        np.testing.assert_allclose(ours.double().numpy(), theirs.double().numpy(), tolerance, tolerance)


def model(T):
    T.manual_seed(0)
    nn = T.nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3),
    )


def test_training():
    """Weights stay float32; the losses of several steps agree as far as bfloat16 goes."""
    def losses(T):
        net = model(T)
        optimizer = T.optim.SGD(net.parameters(), lr=0.1)
        T.manual_seed(1)
        x, y = T.randn(8, 1, 8, 8), T.arange(8) % 3
        made = []
        for _ in range(6):
            optimizer.zero_grad()
            with T.autocast("cpu", dtype=T.bfloat16):
                out = net(x)
                loss = T.nn.functional.cross_entropy(out, y)
            assert out.dtype is T.bfloat16 and loss.dtype is T.float32
            loss.backward()
            assert all(p.grad.dtype is T.float32 for p in net.parameters())
            optimizer.step()
            made.append(loss.item())
        return made

    assert losses(rushlight) == pytest.approx(losses(torch), rel=0.03)


def test_contexts():
    def program(T):
        a = T.ones(2, 2)
        yield T.is_autocast_enabled("cpu"), T.get_autocast_dtype("cpu") is T.bfloat16
        with T.autocast("cpu"):
            yield T.is_autocast_enabled("cpu"), a @ a
            with T.autocast("cpu", enabled=False):
                yield T.is_autocast_enabled("cpu"), a @ a
            with T.autocast("cpu", dtype=T.float16):
                yield a @ a, T.get_autocast_dtype("cpu") is T.float16
            yield a @ a
        yield a @ a

        @T.autocast("cpu")
        def inside(x):
            return x @ x

        yield inside(a), a @ a
        try:
            with T.autocast("cpu"):
                raise KeyError
        except KeyError:
            yield T.is_autocast_enabled("cpu")

    check_program(program)


def test_refused():
    for framework in (torch, rushlight):
        with pytest.raises(RuntimeError):
            framework.autocast("nothing")
        with pytest.raises(ValueError):
            framework.autocast(3)
        with pytest.warns(UserWarning), framework.autocast("cpu", dtype=framework.int32):
            assert not framework.is_autocast_enabled("cpu")
        with pytest.warns(UserWarning), framework.autocast("cuda"):
            assert not framework.is_autocast_enabled("cuda")


def test_custom_functions():
    def program(T):
        class Product(T.autograd.Function):
            @staticmethod
            @T.amp.custom_fwd(device_type="cpu")
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a @ b

            @staticmethod
            @T.amp.custom_bwd(device_type="cpu")
            def backward(ctx, grad):
                a, b = ctx.saved_tensors
                return grad @ b.t(), a.t() @ grad

        class Exact(T.autograd.Function):
            @staticmethod
            @T.amp.custom_fwd(device_type="cpu", cast_inputs=T.float32)
            def forward(ctx, a):
                return a @ a

        a = T.arange(4.0).view(2, 2).requires_grad_()
        with T.autocast("cpu"):
            made = Product.apply(a, a)
        made.float().sum().backward()
        yield made, a.grad
        with T.autocast("cpu"):
            yield Exact.apply(a.detach().bfloat16())

    check_program(program, strides=False)


def test_other_threads_are_not_affected():
    import threading

    seen = []
    with rushlight.autocast("cpu"):
        thread = threading.Thread(target=lambda: seen.append(
            (rushlight.ones(2, 2) @ rushlight.ones(2, 2)).dtype))
        thread.start()
        thread.join()
    assert seen == [rushlight.float32]


def test_checkpoints_recompute_in_the_same_dtype():
    def run(T, keep):
        T.manual_seed(0)
        layer = T.nn.Linear(4, 4)
        x = T.ones(2, 4).requires_grad_()
        with T.autocast("cpu"):
            f = T.nn.Sequential(layer, T.nn.ReLU(), layer)
            if keep:
                y = f(x)
            else:
                y = T.utils.checkpoint.checkpoint(f, x, use_reentrant=False)
        y.sum().backward()
        return y, layer.weight.grad

    kept, again = run(rushlight, True), run(rushlight, False)
    assert again[0].dtype is rushlight.bfloat16
    for a, b in zip(kept, again, strict=True):
        assert rushlight.equal(a, b)


def test_older_names():
    with rushlight.cpu.amp.autocast():
        assert (rushlight.ones(2, 2) @ rushlight.ones(2, 2)).dtype is rushlight.bfloat16
    with pytest.warns(UserWarning):
        scaler = rushlight.cuda.amp.GradScaler()
    assert scaler.scale(3.0) == 3.0
    with pytest.warns(UserWarning), rushlight.cuda.amp.autocast():
        assert (rushlight.ones(2, 2) @ rushlight.ones(2, 2)).dtype is rushlight.float32
