"""nn.utils: clipping, vectors, sequences, parametrisations, pruning."""

import pytest
from programs import fill, same, same_error, values


def net(T):
    m = T.nn.Sequential(T.nn.Linear(3, 4), T.nn.Tanh(), T.nn.Linear(4, 2))
    return fill(T, m)


def graded(T):
    m = net(T)
    m(values(T, 5, 3)).pow(2).sum().backward()
    return m


def clip(T):
    u, m, n = T.nn.utils, graded(T), graded(T)
    total = u.clip_grad_norm_(m.parameters(), 0.5)
    largest = u.clip_grad_norm_(graded(T).parameters(), 1.0, norm_type=float("inf"))
    u.clip_grad_value_(n.parameters(), 0.1)
    grads = [p.grad for p in m.parameters()], [p.grad for p in n.parameters()]
    return [total, largest, *grads, u.get_total_norm([T.ones(3), T.ones(2)])]


def vectors(T):
    u, m = T.nn.utils, net(T)
    vector = u.parameters_to_vector(m.parameters())
    u.vector_to_parameters(vector * 2, m.parameters())
    return [vector, list(m.parameters())]


def sequences(T):
    r = T.nn.utils.rnn
    return [
        r.pad_sequence([T.arange(3), T.arange(5)], batch_first=True, padding_value=-1),
        r.pad_sequence([T.ones(2, 2), T.ones(1, 2)], padding_side="left"),
        list(r.pack_sequence([T.arange(3), T.arange(2)])),
        r.unpad_sequence(T.ones(3, 2), T.tensor([1, 3])),
        r.unpack_sequence(r.pack_sequence([T.arange(2), T.arange(3)], enforce_sorted=False)),
    ]


def parametrized(T):
    class Symmetric(T.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).t()

    p = T.nn.utils.parametrize
    m = fill(T, T.nn.Linear(3, 3))
    p.register_parametrization(m, "weight", Symmetric())
    m(values(T, 2, 3)).sum().backward()
    first = [m.weight, sorted(m.state_dict()), p.is_parametrized(m), repr(m)]
    first.append(m.parametrizations.weight.original.grad)
    p.remove_parametrizations(m, "weight")
    return [first, m.weight, type(m).__name__, isinstance(m.weight, T.nn.Parameter)]


def norms(T):
    m = T.nn.utils.parametrizations.weight_norm(fill(T, T.nn.Linear(3, 2)))
    old = T.nn.utils.weight_norm(fill(T, T.nn.Linear(3, 2)))
    x = values(T, 2, 3)
    result = [sorted(m.state_dict()), m(x), sorted(old.state_dict()), old(x)]
    T.nn.utils.remove_weight_norm(old)
    return [*result, sorted(old.state_dict()), old(x)]


def spectral(T):
    T.manual_seed(0)
    m = T.nn.utils.parametrizations.spectral_norm(fill(T, T.nn.Linear(3, 2)))
    return [sorted(m.state_dict()), m(values(T, 2, 3)), m.weight]


def pruned(T):
    from importlib import import_module

    prune = import_module(T.__name__ + ".nn.utils.prune")
    m = prune.l1_unstructured(net(T)[0], "weight", amount=0.5)
    first = [sorted(m.state_dict()), m.weight, m(values(T, 2, 3))]
    prune.remove(m, "weight")
    return [first, sorted(m.state_dict()), prune.is_pruned(m)]


def fused(T):
    conv, bn = fill(T, T.nn.Conv2d(2, 3, 1)), T.nn.BatchNorm2d(3)
    both = T.nn.utils.fuse_conv_bn_eval(conv.eval(), bn.eval())
    return [both.weight, both.bias]


PROGRAMS = [clip, vectors, sequences, parametrized, norms, spectral, pruned, fused]


@pytest.mark.parametrize("program", PROGRAMS)
def test_utils(program):
    same(program, rtol=1e-5, atol=1e-6)


def test_clip_refuses_infinity():
    def program(T):
        p = T.nn.Parameter(T.ones(1))
        p.grad = T.tensor([float("inf")])
        T.nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)

    same_error(program)
