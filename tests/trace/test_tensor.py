"""What a tensor is besides its operators: memory, history, conversions, copies; against PyTorch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from oracle import assert_same, check_program

import rushlight

PROGRAMS = []


def program(f):
    PROGRAMS.append(f)
    return f


def arange(T, *shape, **kwargs):
    n = int(np.prod(shape))
    return T.arange(float(n), **kwargs).reshape(shape)


@program
def strided_views(T):
    x = arange(T, 4, 6)
    v = x.as_strided((2, 3), (6, 2), 1)
    w = v.t()
    w.add_(100)
    return x, v.stride(), v.storage_offset(), w.is_contiguous(), w.contiguous().stride()


@program
def view_of_transposed(T):
    return arange(T, 2, 3).t().view(6)


@program
def view_dtype(T):
    return T.tensor([1.0, 2.0]).view(T.int32), T.arange(4, dtype=T.int16).view(T.int64)


@program
def view_dtype_odd(T):
    return T.arange(3, dtype=T.int16).view(T.int64)


@program
def memory_formats(T):
    x = arange(T, 2, 3, 4, 5)
    y = x.contiguous(memory_format=T.channels_last)
    z = T.relu(y) + 1
    return (y.stride(), y.is_contiguous(), y.is_contiguous(memory_format=T.channels_last),
            z.stride(), z.clone().stride(), z.contiguous().stride(),
            T.empty_like(y).stride(), x.to(memory_format=T.channels_last).stride())


@program
def in_place_views(T):
    x = arange(T, 1, 2, 3)
    row = x[0, 1]
    x.squeeze_(0).t_().unsqueeze_(1)
    x[0, 0, 1] = -7
    return x, x.stride(), row, x.shape


@program
def in_place_view_with_history(T):
    a = arange(T, 2, 3).requires_grad_()
    b = a * 2
    c = b[0]
    b.transpose_(0, 1)
    b.mul_(3)
    (b.sum() + c.sum()).backward()
    return a.grad, b.shape, c


@program
def in_place_view_of_leaf(T):
    return T.ones(2, 2, requires_grad=True).t_()


@program
def detached(T):
    a = T.ones(3, requires_grad=True)
    b = (a * 2).detach()
    b += 1
    return b.requires_grad, b.is_leaf, b.grad_fn, a.detach().data_ptr() == a.data_ptr()


@program
def data_assignment(T):
    a = T.ones(3, requires_grad=True)
    (a * 2).sum().backward()
    a.data = T.zeros(3)
    a.data -= a.grad
    return a, a.grad, a.is_leaf


@program
def conversions(T):
    x = T.tensor([1.5, -2.5])
    return (x.to(T.int64), x.double(), x.to("cpu"), x.to(x.double()), x.half(), x.bfloat16(),
            x.bool(), x.type(T.int8), x.int().float(), x.cpu() is x, x.to(T.float32) is x,
            x.to(T.float32, copy=True) is x, x.type())


@pytest.mark.parametrize("use", [
    lambda T: T.zeros(2).to("cuda:7"), lambda T: T.zeros(2).cuda(), lambda T: T.ones(2, device="cuda"),
    lambda T: T.nn.Linear(2, 2).to(T.device("cuda")),
])
def test_no_gpu(use):
    assert not rushlight.cuda.is_available() and rushlight.cuda.device_count() == 0
    with pytest.raises(RuntimeError, match="CUDA.*CPU only"):
        use(rushlight)


@program
def numbers(T):
    t = T.tensor
    return (t(3).item(), float(t([2.5])), int(t(7.9)), bool(t(0.0)), t(5).__index__(),
            [10, 20, 30][t(1)], complex(t(1 + 2j)), t([[1, 2], [3, 4]]).tolist(),
            f"{t(3.14159):.2f}", 2.0 in t([1.0, 2.0]), len(t([1, 2, 3])))


@pytest.mark.parametrize("bad", [
    lambda T: T.ones(2).item(), lambda T: bool(T.ones(2)), lambda T: len(T.tensor(1)),
    lambda T: list(T.tensor(1)), lambda T: T.tensor(1.5).__index__(),
    lambda T: T.ones(2, requires_grad=True).numpy(), lambda T: T.ones(2).bfloat16().numpy(),
    lambda T: T.zeros(2, 3).view(4), lambda T: T.zeros(2)[5], lambda T: T.zeros(2).size(3),
    lambda T: T.zeros(2, dtype=T.int64).requires_grad_(), lambda T: T.zeros(2).expand(3),
    lambda T: T.tensor([[1], [2, 3]]), lambda T: T.tensor("a"), lambda T: T.zeros(-1),
    lambda T: T.zeros(2).as_strided((3,), (1,)).sum().item(),
    lambda T: T.from_numpy(np.arange(4)[::-1]), lambda T: T.from_numpy([1, 2]),
    lambda T: T.zeros(2).grad_fn.next_functions, lambda T: T.zeros(3) + T.zeros(4),
    lambda T: T.zeros(2, 3) @ T.zeros(2, 3), lambda T: T.zeros(2).nothing,
    lambda T: T.nn.functional.linear(T.zeros(2, 3), T.zeros(4, 5)),
    lambda T: T.zeros(2, 3).sum(2), lambda T: T.cat([T.zeros(2, 3), T.zeros(3, 2)]),
    lambda T: T.zeros(3).index_select(0, T.tensor([3])).tolist(),
    lambda T: T.zeros(2, 3).permute(0, 0), lambda T: T.stack([]), lambda T: T.zeros(2, 2).t(1),
    lambda T: T.add(T.zeros(2)), lambda T: T.zeros(2).add(T.zeros(2), nonsense=1),
    lambda T: T.device("nonsense"), lambda T: T.zeros(2, dtype=T.float32).fill_("x"),
])
def test_refused(bad):
    check_program(lambda T: bad(T))


@program
def typed_constructors(T):
    return (T.FloatTensor([1, 2]), T.ones(2).type(T.LongTensor).dtype == T.int64, T.LongTensor([1, 2]), T.FloatTensor(2, 3).shape,
            T.Tensor([1.5]), T.Tensor(2, 3).shape, isinstance(T.ones(1), T.FloatTensor),
            isinstance(T.ones(1), T.LongTensor), T.tensor([1, 2.5]).dtype, T.tensor([True]).dtype)


@program
def numpy_keywords(T):
    x = arange(T, 2, 3)
    return (x.sum(axis=1), x.mean(axis=0, keepdims=True), T.argmax(x, axis=1), x.softmax(-1),
            T.zeros(size=(2, 3)), T.rand(size=(2,)).shape, x.max(axis=1).values)


@program
def only_numbers(T):
    return T.add(2.0, 3.0), T.mul(2, 3), T.pow(T.tensor(2), 3)


@program
def shared_with_numpy(T):
    a = np.arange(4.0)
    t = T.from_numpy(a)
    a[0] = 10
    t[1] = 20
    v = t.numpy()
    v[2] = 30
    t.mul_(2)
    return t, a.tolist(), v.tolist(), T.as_tensor(a).data_ptr() == t.data_ptr()


@program
def array_protocol(T):
    x = arange(T, 2, 2)
    return (np.asarray(x).tolist(), np.array(x).dtype.name, np.sum(np.asarray(x)).item(),
            (np.ones((2, 2)) * x.numpy()).tolist(), T.tensor(np.float32(2)).dtype,
            T.tensor([np.int64(1), 2]).dtype, T.as_tensor(np.arange(3)).dtype)


@program
def dlpack(T):
    a = arange(T, 2, 3)
    n = np.from_dlpack(a)
    n[0, 0] = 5
    b = T.from_dlpack(np.arange(3.0))
    c = T.from_dlpack(a)
    c[1, 2] = -1
    return a, b, n.tolist(), a.__dlpack_device__() == (1, 0)


def test_dlpack_with_torch():
    ours = rushlight.arange(4.0)
    theirs = torch.from_dlpack(ours)
    theirs[0] = 9
    assert ours.tolist() == [9, 1, 2, 3]
    back = rushlight.from_dlpack(torch.arange(3))
    assert back.tolist() == [0, 1, 2] and back.dtype is rushlight.int64
    with pytest.raises(BufferError):
        torch.from_dlpack(rushlight.ones(2, requires_grad=True))


@program
def deep_copies(T):
    a = T.ones(3, requires_grad=True)
    a.sum().backward()
    pair = copy.deepcopy([a, a, a.detach()[1:]])
    pair[0].data.mul_(5)
    shallow = copy.copy(a)
    return pair, pair[0] is pair[1], pair[0].grad, a, shallow.requires_grad


@pytest.mark.parametrize("make", [
    lambda T: T.tensor([1.0, 2.0], requires_grad=True),
    lambda T: arange(T, 3, 4).t(),
    lambda T: T.tensor([[True, False]]),
    lambda T: T.ones(2).bfloat16(),
    lambda T: T.tensor(1 + 2j),
    lambda T: T.zeros(0, 3),
    lambda T: T.nn.Parameter(T.ones(2)),
])
def test_pickle(make):
    ours = pickle.loads(pickle.dumps(make(rushlight)))
    assert_same(ours, make(torch))
    assert ours.requires_grad == make(torch).requires_grad
    assert type(ours).__name__ == type(make(torch)).__name__


@program
def default_dtype(T):
    T.set_default_dtype(T.float64)
    try:
        return T.ones(1).dtype, T.tensor(1.0).dtype, (T.arange(2) / 2).dtype, T.rand(1).dtype
    finally:
        T.set_default_dtype(T.float32)


@program
def promotion(T):
    i, f, h, b = T.tensor([1]), T.tensor([1.0]), T.tensor([1.0]).half(), T.tensor([True])
    one = T.tensor(2.5, dtype=T.float64)
    return [x.dtype for x in (i + f, i + 1.5, h + 1.5, h * f, b + b, b + 1, i * one, f + one,
                              i / 2, i // 2, b * 2.0, h + i, f + 1j, T.tensor(1) + f.half())]


@program
def dtype_facts(T):
    kinds = (T.bool, T.uint8, T.int16, T.int64, T.float16, T.bfloat16, T.float32, T.complex64)
    return ([(str(d), d.itemsize, d.is_floating_point, d.is_complex, d.is_signed) for d in kinds],
            T.finfo(T.bfloat16).max, T.finfo(T.float32).eps, T.iinfo(T.int8).min,
            T.promote_types(T.int8, T.uint8), T.can_cast(T.float32, T.int32))


@program
def inference(T):
    w = T.ones(2, requires_grad=True)
    with T.inference_mode():
        y = w * 2
        inside = T.is_inference_mode_enabled(), T.is_grad_enabled()
    return y, y.requires_grad, inside, T.is_inference_mode_enabled()


@program
def grad_switches(T):
    x = T.ones(1, requires_grad=True)
    made = []
    with T.set_grad_enabled(False):
        made.append((x * 2).requires_grad)
        with T.enable_grad():
            made.append((x * 2).requires_grad)
    T.set_grad_enabled(False)
    made.append((x * 2).requires_grad)
    T.set_grad_enabled(True)
    return made, (x * 2).requires_grad


@program
def out_arguments(T):
    a, b = T.ones(2, 2), T.full((2, 2), 3.0)
    out = T.zeros(2, 2)
    view = out[0]
    made = T.add(a, b, out=out)
    values, indices = T.zeros(2), T.zeros(2, dtype=T.int64)
    T.max(b, 1, out=(values, indices))
    grown = T.empty(0)
    T.mul(a, b, out=grown)
    return made is out, out, view, values, indices, grown


@program
def out_of_wrong_dtype(T):
    return T.add(T.ones(2), 1, out=T.zeros(2, dtype=T.int64))


@program
def out_with_gradient(T):
    return T.add(T.ones(2, requires_grad=True), 1, out=T.zeros(2))


@program
def overlapping_write(T):
    x = T.zeros(1, 3).expand(2, 3)
    return x.add_(1)


@program
def resized(T):
    x = T.arange(6.0)
    x.resize_(2, 2)
    return x, x.storage_offset(), x.untyped_storage().nbytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", PROGRAMS, ids=lambda f: f.__name__)
def test_program(case):
    check_program(case)
