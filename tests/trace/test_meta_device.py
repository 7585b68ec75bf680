"""The meta device: tensors with shape, strides and dtype, and no values. PyTorch is the oracle."""

import copy
import io
import pickle
import sys

import numpy as np
import pytest
import torch as oracle

import rushlight as torch
from rushlight import nn, tools
from rushlight.trace import flush, trie


def what(x):
    """What is known of a result without its values."""
    if isinstance(x, (tuple, list)):
        return [what(i) for i in x]
    if hasattr(x, "stride"):
        return (tuple(x.shape), str(x.dtype), tuple(x.stride()), x.storage_offset(), str(x.device), x.requires_grad)
    return x if isinstance(x, (int, str, bool, type(None))) else str(x)


MAKERS = {
    "zeros": lambda T: T.zeros(2, 3, device="meta"),
    "numbered": lambda T: T.ones(2, device="meta:0"),
    "tensor": lambda T: T.tensor([1.0, 2], device="meta", requires_grad=True),
    "strided": lambda T: T.empty_strided((2, 2), (1, 2), device="meta"),
    "full": lambda T: T.full((2,), 3, device="meta"),
    "arange": lambda T: T.arange(0, 1, 0.25, device="meta"),
    "linspace": lambda T: T.linspace(0, 1, 5, device="meta"),
    "logspace": lambda T: T.logspace(0, 1, 5, device="meta"),
    "eye": lambda T: T.eye(3, device="meta"),
    "indices": lambda T: T.tril_indices(3, 3, device="meta"),
    "window": lambda T: [T.hann_window(4, device="meta"), T.signal.windows.hann(4, device="meta")],
    "random": lambda T: [T.rand(2, device="meta"), T.randn(2, dtype=T.complex64, device="meta"),
                         T.randint(3, (2,), device="meta"), T.randperm(4, device="meta")],
    "like": lambda T: [T.zeros_like(T.ones(2, 3).t(), device="meta"), T.rand_like(T.ones(2, device="meta")),
                       T.ones(2, device="meta").new_ones(3), T.ones(2, device="meta").new_tensor([1, 2])],
    "back": lambda T: T.zeros_like(T.ones(2, device="meta"), device="cpu"),
    "to": lambda T: [T.ones(2, 3).t().to("meta"), T.ones(2).to("meta", T.float64), T.ones(2).to(T.ones(1, device="meta"))],
    "type": lambda T: T.ones(1, device="meta").type().replace("torch.", ""),
    "facts": lambda T: [T.ones(2, device="meta").is_meta, T.ones(2, device="meta").is_cpu, T.ones(2).is_meta,
                        T.ones(2, device="meta").data_ptr(), T.ones(2, device="meta").untyped_storage().nbytes()],
}


@pytest.mark.parametrize("name", MAKERS)
def test_tensors_are_made_as_pytorch_makes_them(name):
    assert what(MAKERS[name](torch)) == what(MAKERS[name](oracle))


def m(T, *shape, **options):
    return T.ones(*(shape or (2, 3)), device="meta", **options)


OPERATIONS = {
    "pointwise": lambda T: m(T) * 2 + m(T, 3).exp(),
    "promotion": lambda T: m(T, dtype=T.int64) / 2,
    "number on the CPU": lambda T: m(T) * T.tensor(2.0),
    "index on the CPU": lambda T: m(T)[T.tensor([0, 1, 1])],
    "reduction": lambda T: [m(T).sum(0, keepdim=True), m(T).argmax(1), *m(T).max(1)],
    "product": lambda T: T.einsum("ij,kj->ik", m(T), m(T, 5, 3)),
    "view": lambda T: m(T, 4, 6).t()[1:, ::2],
    "joined": lambda T: T.cat([m(T), T.stack([m(T, 3), m(T, 3)])]),
    "several": lambda T: [*m(T).topk(2), *m(T).sort(), *T.frexp(m(T))],
    "random": lambda T: [T.nn.functional.dropout(m(T)), T.bernoulli(m(T)), T.multinomial(m(T), 2)],
    "in place": lambda T: m(T).add_(1).fill_(3).uniform_().copy_(T.zeros(3)),
    "item written": lambda T: [x := m(T), x.__setitem__(0, 1.0), x[0].zero_()],
    "out": lambda T: T.add(m(T), 1, out=m(T, 0)),
    "resized": lambda T: m(T).resize_(4, 2),
    "made inside": lambda T: [T.nn.functional.interpolate(m(T, 1, 2, 4, 4), scale_factor=2, mode="bilinear"),
                              T.linalg.matrix_power(m(T, 3, 3), 0)],
    "rows": lambda T: list(m(T)),
    "channels last": lambda T: m(T, 1, 3, 8, 8).contiguous(memory_format=T.channels_last) * 2,
    "twice": lambda T: [(m(T) * 3).relu() for _ in range(3)],
    "detached": lambda T: [(m(T, requires_grad=True) * 2).detach(), m(T, requires_grad=True).data],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_results_have_pytorchs_shape_dtype_and_strides(name):
    for _ in range(2):  # (the second time, the path is known)
        assert what(OPERATIONS[name](torch)) == what(OPERATIONS[name](oracle))


PRINTED = {
    "plain": lambda T: m(T),
    "0-dim": lambda T: m(T, 2)[0],
    "dtype": lambda T: m(T, dtype=T.int64),
    "complex": lambda T: m(T, dtype=T.complex64),
    "history": lambda T: m(T, requires_grad=True) * 2,
    "parameter": lambda T: T.nn.Parameter(m(T)),
    "moved": lambda T: T.ones(2, requires_grad=True).to("meta"),
}


@pytest.mark.parametrize("name", PRINTED)
def test_printing(name):
    assert repr(PRINTED[name](torch)) == repr(PRINTED[name](oracle))
    assert format(PRINTED[name](torch)) == format(PRINTED[name](oracle))


REFUSED = {
    "item": lambda T: m(T, 1).item(),
    "item of bfloat16": lambda T: m(T, 1, dtype=T.bfloat16).item(),
    "bool": lambda T: bool(m(T, 1) > 0),
    "float": lambda T: float(m(T, 1)),
    "tolist": lambda T: m(T).tolist(),
    "numpy": lambda T: m(T).numpy(),
    "array": lambda T: np.asarray(m(T)),
    "cpu": lambda T: m(T).cpu(),
    "to": lambda T: m(T).to("cpu"),
    "copied": lambda T: T.zeros(2, 3).copy_(m(T)),
    "nonzero": lambda T: m(T).nonzero(),
    "masked": lambda T: m(T)[m(T) > 0],
    "equal": lambda T: T.equal(m(T), m(T)),
    "sum of two devices": lambda T: m(T) + T.ones(2, 3),
    "list of two devices": lambda T: T.cat([m(T), T.ones(2, 3)]),
    "0-dim beside values": lambda T: m(T, 2)[0] * T.ones(2),
    "computed on the CPU": lambda T: (T.ones(2, 3) * 2) / m(T),
    "layer": lambda T: T.nn.Linear(3, 2, device="meta")(T.ones(2, 3)),
    "out": lambda T: T.add(m(T), 1, out=T.zeros(2, 3)),
    "out on meta": lambda T: T.add(T.ones(2), 1, out=m(T)),
    "data": lambda T: setattr(T.nn.Parameter(T.ones(2, 3)), "data", m(T)),
    "grad": lambda T: setattr(T.ones(2, 3, requires_grad=True), "grad", m(T)),
    "layer moved": lambda T: T.nn.Linear(3, 2, device="meta").to("cpu"),
    "backward to the CPU": lambda T: T.ones(2, requires_grad=True).to("meta").sum().backward(),
    "dlpack": lambda T: m(T).__dlpack__(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_value_and_two_devices_are_refused(name):
    with pytest.raises(Exception) as theirs:
        REFUSED[name](oracle)
    with pytest.raises(theirs.type):
        REFUSED[name](torch)
    assert torch.ones(2).add(1).tolist() == [2, 2]  # what follows is not disturbed


def test_a_shape_error_is_told():
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        torch.ones(2, 3, device="meta") @ torch.ones(2, 3, device="meta")


def test_gradients_have_shapes():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).to("meta")
    x = torch.ones(2, 3, 8, 8, device="meta", requires_grad=True)
    net(x).square().mean().backward()
    assert x.grad.is_meta and x.grad.shape == x.shape
    for p in net.parameters():
        assert p.grad.is_meta and p.grad.shape == p.shape
    (first,) = torch.autograd.grad(net(x).sin().sum(), x, create_graph=True)
    first.sum().backward()


def test_a_training_loop_needs_no_memory():
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(1 << 20, 1 << 20), nn.LayerNorm(1 << 20))
        x = torch.randn(1 << 10, 1 << 20)
    optimizer = torch.optim.AdamW(net.parameters())
    for _ in range(5):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
    assert optimizer.state[net[0].weight]["exp_avg"].is_meta
    assert sys.getsizeof(net[0].weight._buf) < 1000


def test_the_random_numbers_stay():
    def draw(where):
        torch.manual_seed(0)
        torch.randn(5, device=where)
        nn.init.normal_(torch.empty(4, device=where))
        return torch.rand(2).tolist()

    assert draw("meta") == torch.rand(2, generator=torch.Generator().manual_seed(0)).tolist()


def test_modules():
    for T in (torch, oracle):
        layer = T.nn.Linear(3, 2)
        weight = layer.weight
        assert layer.to("meta") is layer and layer.weight is not weight
        assert layer.weight.is_meta and layer.weight.requires_grad and isinstance(layer.weight, T.nn.Parameter)
        assert layer.double().weight.dtype is T.float64
        layer.to_empty(device="cpu")
        assert not layer.weight.is_meta and layer.weight.shape == (2, 3)
        made = T.nn.utils.skip_init(T.nn.Linear, 3, 2)
        assert not made.weight.is_meta and made.weight.requires_grad
        hollow, state = T.nn.Linear(3, 2, device="meta"), T.nn.Linear(3, 2).state_dict()
        with pytest.warns(UserWarning, match="assign=True"):
            hollow.load_state_dict(state)  # copies into nothing
        assert hollow.weight.is_meta
        hollow.load_state_dict(state, assign=True)
        assert hollow.weight.data_ptr() == state["weight"].data_ptr()
        assert isinstance(hollow.weight, T.nn.Parameter) and hollow.weight.requires_grad


def test_blocks_and_the_default():
    for T in (torch, oracle):
        with T.device("meta"):
            assert T.ones(2).is_meta and T.tensor([1]).is_meta and T.as_tensor(T.ones(1, device="cpu")).is_meta
            assert T.nn.Linear(2, 2).weight.is_meta and T.get_default_device() == T.device("meta")
            assert not T.zeros_like(T.ones(1, device="cpu")).is_meta and not T.from_numpy(np.ones(2)).is_meta
            with T.device("cpu"):
                assert not T.ones(1).is_meta
        T.set_default_device("meta")
        try:
            assert T.ones(1).is_meta
        finally:
            T.set_default_device(None)
        assert not T.ones(1).is_meta


def test_copies_and_files():
    for T in (torch, oracle):
        x = T.nn.Parameter(T.ones(2, 3, device="meta").t())
        for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert y.is_meta and isinstance(y, T.nn.Parameter) and y.shape == (3, 2)
        file = io.BytesIO()
        T.save({"x": x, "y": T.ones(2, device="meta")}, file)
        for load in (torch.load, oracle.load):  # each other's files
            file.seek(0)
            found = load(file)
            assert found["x"].is_meta and tuple(found["x"].shape) == (3, 2) and found["y"].is_meta
            assert tuple(found["x"].stride()) == tuple(x.stride())
        file = io.BytesIO()
        T.save(T.nn.Linear(3, 2).state_dict(), file)
        file.seek(0)
        assert T.load(file, map_location="meta")["weight"].is_meta


def test_values_and_placeholders_share_a_segment():
    x, hollow = torch.ones(3), torch.ones(3, device="meta")
    for _ in range(30):
        y = x * 2
        z = (hollow * 2 + 1).sum()
        w = hollow[1:] * 3
        y = y + 1
        assert y.tolist() == [3, 3, 3] and z.is_meta and w.shape == (2,)


def test_every_operation_alone():
    trie.set_eager(True)
    try:
        x = torch.ones(2, 3, device="meta", requires_grad=True)
        (x * 2).t()[1:].exp().sum().backward()
        assert x.grad.is_meta
    finally:
        trie.set_eager(False)


def test_looking_for_nans():
    with tools.nans():
        x = torch.ones(2, 3, device="meta", requires_grad=True)
        y = x.clone()
        y[0] = 1
        for _ in range(3):
            (x / y).log().sum().backward()
            flush()
    assert x.grad.is_meta
