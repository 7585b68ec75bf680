"""8-bit floats: for storage, as in PyTorch."""

from __future__ import annotations

import pytest
import torch as oracle

import rushlight as torch
from rushlight import safetensors

KINDS = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"]
VALUES = [1.0, -2.3, 500.0, 448.0, 460.0, 1e-3, 300.0, 1e-9, 0.0, -0.1, 1e9, float("inf")]


def bits(t, kind, given):
    x = t.tensor(given).to(getattr(t, kind))
    return x.view(t.uint8).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_casts_have_the_same_bits(kind):
    assert bits(torch, kind, VALUES) == bits(oracle, kind, VALUES)
    every = list(range(256))
    ours = torch.tensor(every, dtype=torch.uint8).view(getattr(torch, kind)).float()
    theirs = oracle.tensor(every, dtype=oracle.uint8).view(getattr(oracle, kind)).float()
    assert oracle.equal(oracle.nan_to_num(oracle.tensor(ours.tolist()), nan=-7.0),
                        oracle.nan_to_num(theirs, nan=-7.0))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_known_of_them(kind):
    ours, theirs = getattr(torch, kind), getattr(oracle, kind)
    for name in ("itemsize", "is_floating_point", "is_complex", "is_signed"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution"):
        if (kind, name) == ("float8_e5m2fnuz", "eps"):
            continue  # PyTorch says 0.125; after 1 comes 1.25
        assert getattr(torch.finfo(ours), name) == getattr(oracle.finfo(theirs), name), name
    assert torch.promote_types(ours, ours) is ours
    with pytest.raises(RuntimeError, match="Promotion for Float8"):
        torch.promote_types(ours, torch.float32)


def test_storage_and_arithmetic():
    def look(t):
        d = t.float8_e5m2
        x = t.tensor([[1.5, -2.0], [0.25, 8.0]]).to(d)
        y = t.zeros(2, dtype=d)
        y.copy_(x[0])
        return (repr(x), x[1, 1].item(), x.t().contiguous().tolist(), y.tolist(), x.reshape(4)[1:].tolist(),
                t.full((2,), 3.0, dtype=d).tolist(), x.index_select(0, t.tensor([1])).tolist(),
                x.to(t.bfloat16).tolist())

    assert look(torch) == look(oracle)
    for t in (torch, oracle):
        x = t.ones(2).to(t.float8_e4m3fn)
        for wrong in (lambda x: x + x, lambda x: -x, lambda x: x.sum()):
            with pytest.raises(NotImplementedError, match="Float8_e4m3fn"):
                wrong(x)
        with pytest.raises(TypeError, match="Float8_e4m3fn"):
            x.numpy()


def test_in_files(tmp_path):
    x = torch.tensor([1.0, -3.0, 0.1]).to(torch.float8_e4m3fn)
    safetensors.save_file({"x": x}, tmp_path / "x.safetensors")
    from safetensors.torch import load_file

    theirs = load_file(tmp_path / "x.safetensors")["x"]
    assert theirs.dtype is oracle.float8_e4m3fn and theirs.float().tolist() == x.float().tolist()
    again = safetensors.load_file(tmp_path / "x.safetensors")["x"]
    assert again.dtype is torch.float8_e4m3fn and again.tolist() == x.tolist()


def test_in_compiled_programs(monkeypatch):
    """A program that casts to 8-bit floats and back gives the same when it is compiled."""
    from rushlight.compile import background
    from rushlight.interpret import program

    x = torch.linspace(-500, 500, 999)

    def step():
        y = (x * 1.5).to(torch.float8_e4m3fn)
        return (y.float() + 1).tolist(), y.clone().view(torch.uint8).tolist()

    first = step()
    monkeypatch.setattr(background, "MODE", "now")
    for _ in range(program.HOT_AFTER + 3):
        assert step() == first
