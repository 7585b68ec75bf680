"""A program's own operators, and operators by name."""

from __future__ import annotations

import pytest

import rushlight as torch

LIBRARY = torch.library


def test_an_operator_with_its_gradient():
    @LIBRARY.custom_op("testing::scaled", mutates_args=())
    def scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
        return x * factor

    @scaled.register_fake
    def _(x, factor):
        return torch.empty_like(x)

    def keep(ctx, inputs, output):
        ctx.factor = inputs[1]

    LIBRARY.register_autograd(
        "testing::scaled", lambda ctx, g: (g * ctx.factor * 100, None), setup_context=keep)
    x = torch.ones(2, requires_grad=True)
    for call in (scaled, torch.ops.testing.scaled, torch.ops.testing.scaled.default):
        y = call(x, factor=3.0)
        assert y.tolist() == [3.0, 3.0]
        assert torch.autograd.grad(y.sum(), x)[0].tolist() == [300.0, 300.0]


def test_the_fake_implementation_is_for_the_meta_device():
    @LIBRARY.custom_op("testing::counted", mutates_args=())
    def counted(x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([x.item()])

    with pytest.raises(RuntimeError, match="meta"):
        counted(torch.ones((), device="meta"))
    LIBRARY.register_fake("testing::counted", lambda x: x.new_empty(1))
    assert counted(torch.ones((), device="meta")).shape == (1,) and counted(torch.ones(())).tolist() == [1.0]
    LIBRARY.register_fake("testing::of_an_extension", lambda x: x)


def test_without_a_registered_gradient_that_of_the_parts():
    LIBRARY.custom_op("testing::cubed", lambda x: x**3, mutates_args=())
    x = torch.tensor(2.0, requires_grad=True)
    assert torch.autograd.grad(torch.ops.testing.cubed(x), x)[0].item() == 12.0


def test_a_library():
    lib = LIBRARY.Library("testing_lib", "DEF")
    lib.define("plus(Tensor x, int n=1) -> Tensor")
    with pytest.raises(NotImplementedError, match="testing_lib::plus"):
        torch.ops.testing_lib.plus(torch.zeros(1))
    lib.impl("plus", lambda x, n=1: x + 1000, "CUDA")
    lib.impl("plus", lambda x, n=1: x + n, "CPU")
    assert torch.ops.testing_lib.plus(torch.zeros(1), n=4).item() == 4
    with pytest.raises(RuntimeError, match="does not exist"):
        lib.impl("minus", lambda x: x, "CPU")
    with pytest.raises(ValueError, match="namespace::name"):
        LIBRARY.custom_op("nameless", lambda x: x, mutates_args=())


def test_operators_by_name():
    aten = torch.ops.aten
    x = torch.tensor([3.0, 1.0, 2.0])
    assert aten.add.Tensor(x, 1).tolist() == [4.0, 2.0, 3.0]
    assert aten.add.Tensor is aten.add.Tensor and aten.add.Tensor is not aten.add.out
    assert aten.sort.default(x)[0].tolist() == [1.0, 2.0, 3.0]
    assert aten.slice.Tensor(x, 0, 1, None, 1).tolist() == [1.0, 2.0]
    assert aten.index.Tensor(x, [torch.tensor([2, 0])]).tolist() == [2.0, 3.0]
    assert aten._to_copy.default(x, dtype=torch.int64).tolist() == [3, 1, 2]
    assert aten.add.Tensor.name() == "aten::add.Tensor" and aten.mul.default.name() == "aten::mul"
    with pytest.raises(NotImplementedError, match="aten._no_such_thing"):
        aten._no_such_thing.default(x)
    with pytest.raises(AttributeError):
        torch.ops.nobody  # noqa: B018
