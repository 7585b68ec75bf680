"""`summary`: numbers against PyTorch's counters, and that the model stays as it was."""

from __future__ import annotations

import pytest
import torch as reference
from torch.utils.flop_counter import FlopCounterMode

import rushlight as torch
from rushlight.interpret import measure
from rushlight.tools import summary as module
from rushlight.tools.summary import summary

nn = torch.nn


@pytest.fixture(autouse=True)
def nobody_watches():
    yield
    assert not measure.OBSERVERS


def rows(info):
    return {r.path: r for r in info.rows}


MODELS = {
    "mlp": (lambda nn: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), (5, 6)),
    "convolutions": (lambda nn: nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), nn.BatchNorm2d(8),
        nn.ConvTranspose2d(8, 2, 2, stride=2), nn.Conv2d(2, 3, 1)), (2, 4, 9, 9)),
    "one dimension": (lambda nn: nn.Conv1d(2, 3, 3), (2, 2, 10)),
    "encoder": (lambda nn: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (3, 5, 8)),
    "bilinear": (lambda nn: nn.Sequential(nn.Linear(4, 4, bias=False), nn.LayerNorm(4)), (2, 3, 4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_counts_are_those_of_pytorch(name):
    make, size = MODELS[name]
    info = summary(make(nn), size)
    theirs = make(reference.nn).train()  # in eval mode its encoder takes another way
    with FlopCounterMode(display=False) as counter, reference.no_grad():
        theirs(reference.rand(size))
    assert info.total_flops == counter.get_total_flops()
    assert info.total_params == sum(p.numel() for p in theirs.parameters())
    assert info.rows[0].mult_adds == info.total_mult_adds


@pytest.mark.parametrize("kind, gates", [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_layers(kind, gates):
    info = summary(getattr(nn, kind)(4, 6, num_layers=2), (5, 3, 4))
    steps = 5 * 3
    assert info.total_mult_adds == steps * gates * 6 * (4 + 6 + 6 + 6)
    assert info.rows[0].output_shapes[:2] == [(5, 3, 6), (2, 3, 6)]
    assert "[5, 3, 6] + " in str(info)


def test_products_in_functions_belong_to_the_module_that_calls_them():
    class Attention(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    net = nn.Sequential(nn.Linear(8, 8), Attention())
    for _ in range(3):  # new and known paths
        info = rows(summary(net, (2, 4, 5, 8)))
        assert info["1"].mult_adds == 2 * (2 * 4 * 5 * 5 * 8) and info["0"].mult_adds == 40 * 64


def make_stateful():
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5),
                         nn.Sequential(nn.Linear(4, 2), nn.Tanh()))


@pytest.mark.parametrize("mode", ["eval", "train", "same"])
def test_the_model_stays_as_it_was(mode):
    net = make_stateful()
    net[3].eval()
    tensors = {n: t for n, t in [*net.named_parameters(), *net.named_buffers()]}
    before = {n: t.detach().clone() for n, t in tensors.items()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    summary(net, (6, 4), mode=mode)
    assert torch.equal(torch.rand(3), expected)
    after = {n: t for n, t in [*net.named_parameters(), *net.named_buffers()]}
    for n, t in before.items():
        assert after[n] is tensors[n] and torch.equal(after[n], t), n
    assert [m.training for m in net.modules()] == [True] * 4 + [False] * 3
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert net[0].weight.grad is None and torch.is_grad_enabled()


def test_a_pending_backward_still_works():
    net = make_stateful()
    loss = net(torch.rand(6, 4)).sum()
    summary(net, (6, 4), mode="train")
    loss.backward()
    assert net[0].weight.grad is not None


def test_shared_repeated_and_unused_modules():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.b = self.a
            self.c = nn.Linear(4, 2)
            self.list = nn.ModuleList([nn.Linear(4, 4)])
            self.none = None

        def forward(self, x):
            return self.list[0](self.b(self.a(x)))

    info = summary(Net(), (3, 4))
    found = rows(info)
    assert info.total_params == 20 + 10 + 20 and info.total_mult_adds == 3 * 3 * 16
    assert found["a"].calls == 2 and found["b"].shared and found["c"].calls == 0
    assert info.activation_bytes == 3 * (3 * 4 * 4)
    text = str(info)
    assert "a (Linear) x2" in text and "(shared)" in text


def test_lazy_models_stay_lazy():
    net = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    torch.manual_seed(0)
    info = summary(net, (2, 7))
    assert info.total_params == 24 and rows(info)["0"].output_shapes == [(2, 3)]
    assert isinstance(net[0], nn.LazyLinear) and net[0].has_uninitialized_params()
    assert net(torch.ones(5, 9)).shape == (5, 3)


def test_inputs():
    class Two(nn.Module):
        def forward(self, x, y, scale=1):
            return {"sum": (x + y) * scale}

    size = [(2, 3), (2, 3)]
    for info in (summary(Two(), size), summary(Two(), [(3,), (3,)], batch_dim=0),
                 summary(Two(), input_data=(torch.ones(2, 3), torch.ones(2, 3)), scale=2),
                 summary(Two(), input_data={"x": torch.ones(2, 3), "y": torch.ones(2, 3)})):
        assert info.rows[0].output_shapes[0][1] == 3 and len(info.rows[0].input_shapes) == 2
    embed = summary(nn.Embedding(5, 3), (2, 4), dtypes=[torch.int64])
    assert embed.rows[0].output_shapes == [(2, 4, 3)] and embed.input_bytes == 64
    only = summary(nn.Linear(2, 3))
    assert only.total_params == 9 and only.rows[0].calls == 0


def test_memory_and_trainable():
    net = make_stateful()
    net[0].weight.requires_grad_(False)
    info = summary(net, (6, 4))
    assert (info.total_params, info.trainable_params, info.non_trainable_params) == (38, 22, 16)
    assert (info.param_bytes, info.buffer_bytes, info.input_bytes) == (38 * 4, 8 * 4 + 8, 96)
    assert info.activation_bytes == 3 * 96 + 2 * 48
    assert rows(info)["0"].trainable_params == 4


def test_errors_name_the_module():
    net = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.ReLU(), nn.Linear(6, 2)))
    with pytest.raises(RuntimeError, match=r"module '1.1' \(Linear\) failed on inputs of shape \[3, 5\]"):
        summary(net, (3, 4))
    assert net.training and not net[1][1]._forward_hooks
    with pytest.raises(RuntimeError, match="the model itself"):
        summary(nn.Linear(3, 3), (2, 2))
    for bad, match in ((dict(col_names=["speed"]), "unknown column 'speed'"),
                       (dict(mode="fast"), "mode should be"),
                       (dict(input_data=torch.ones(2)), "not both"),
                       (dict(dtypes=[torch.int64] * 2), "1 inputs but 2 dtypes")):
        with pytest.raises(ValueError, match=match):
            summary(nn.Linear(3, 3), (2, 3), **bad)


def test_text(capsys):
    net = make_stateful()
    text = str(summary(net, (6, 4), depth=1, col_names=tuple(module.COLUMNS), verbose=1))
    assert text in capsys.readouterr().out
    lines = text.splitlines()
    assert len({len(x) for x in lines if set(x) == {"-"}}) == 1 and "Linear" in text
    assert "3 (Sequential)" in text and "Tanh" not in text and "Kernel" in text
