"""Optimisers: the same numbers as PyTorch over 20 steps, the same state, groups and errors."""

import pytest
from programs import same, same_error, values

CASES = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.01, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("Adam", {}), ("Adam", {"lr": 0.01, "weight_decay": 0.1}), ("Adam", {"amsgrad": True}),
    ("Adam", {"betas": (0.4, 0.6), "maximize": True}),
    ("AdamW", {}), ("AdamW", {"lr": 0.01, "weight_decay": 0.2, "amsgrad": True}),
    ("Adagrad", {}), ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.1}),
    ("RMSprop", {}), ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("Adadelta", {}), ("Adadelta", {"rho": 0.8, "weight_decay": 0.1}),
    ("Adamax", {}), ("Adamax", {"weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}), ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}), ("RAdam", {"weight_decay": 0.1, "lr": 0.01}),
    ("ASGD", {}), ("ASGD", {"t0": 3, "lr": 0.05}), ("Rprop", {}), ("Adafactor", {}),
]  # fmt: skip
IDS = [f"{name}-{'-'.join(options) or 'default'}" for name, options in CASES]


def problem(T):
    """Parameters of a small network, and the function that fills in their gradients."""
    params = [
        T.nn.Parameter(values(T, *shape, seed=i) * 0.5)
        for i, shape in enumerate([(4, 3), (4,), (2, 4), (2,)])
    ]
    x, y = values(T, 8, 3, seed=7), values(T, 8, 2, seed=8)

    def loss():
        hidden = T.tanh(x @ params[0].t() + params[1])
        return ((hidden @ params[2].t() + params[3] - y) ** 2).mean()

    return params, loss


def train(T, optimizer, loss, steps):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    return losses


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_twenty_steps(name, options):
    def program(T):
        params, loss = problem(T)
        optimizer = getattr(T.optim, name)(params, **options)
        losses = train(T, optimizer, loss, 20)
        state = optimizer.state_dict()
        groups = [{k: v for k, v in g.items() if k != "params"} for g in state["param_groups"]]
        return [losses, params, state["state"], groups, repr(optimizer)]

    same(program, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "NAdam"])
def test_resume(name):
    """A run that is saved and resumed gives the same parameters as one that is not."""

    def program(T):
        options = {"lr": 0.05, "momentum": 0.9} if name == "SGD" else {"lr": 0.05}
        params, loss = problem(T)
        first = getattr(T.optim, name)(params, **options)
        train(T, first, loss, 5)
        second = getattr(T.optim, name)(params, lr=1.0)
        second.load_state_dict(first.state_dict())
        train(T, second, loss, 5)
        return [params, second.state_dict()["state"]]

    same(program, rtol=1e-4, atol=1e-5)


def groups(T):
    params, loss = problem(T)
    optimizer = T.optim.Adam([{"params": params[:1], "lr": 0.05}], lr=0.01)
    optimizer.add_param_group({"params": params[1:]})
    train(T, optimizer, loss, 3)
    return [params, [g["lr"] for g in optimizer.param_groups]]


def missing_gradients(T):
    params, loss = problem(T)
    extra = T.nn.Parameter(T.ones(2))
    optimizer = T.optim.Adam([*params, extra])
    train(T, optimizer, loss, 3)
    return [params, extra, len(optimizer.state)]


def named(T):
    p = T.nn.Parameter(T.ones(1))
    optimizer = T.optim.SGD([("a", p)], lr=0.1)
    return [repr(optimizer), optimizer.state_dict()["param_groups"]]


def changing_rate(T):
    params, loss = problem(T)
    optimizer = T.optim.SGD(params, lr=0.1, momentum=0.9)
    for i in range(4):
        optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
        train(T, optimizer, loss, 1)
    return params


def closure(T):
    params, loss = problem(T)
    optimizer = T.optim.SGD(params, lr=0.1)

    def again():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return [optimizer.step(again), optimizer.step(again), params]


def zero_grad(T):
    params, loss = problem(T)
    optimizer = T.optim.SGD(params)
    loss().backward()
    optimizer.zero_grad(set_to_none=False)
    first = params[0].grad.clone()
    optimizer.zero_grad()
    return [first, params[0].grad is None]


def hooks(T):
    params, loss = problem(T)
    optimizer, seen = T.optim.SGD(params), []
    a = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append("pre"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append("post"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    train(T, optimizer, loss, 1)
    a.remove()
    train(T, optimizer, loss, 1)
    return [seen, sorted(optimizer.state_dict())]


def lbfgs(T):
    params, loss = problem(T)
    for search in (None, "strong_wolfe"):
        optimizer = T.optim.LBFGS(params, lr=0.1, max_iter=4, line_search_fn=search)

        def again(optimizer=optimizer):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        optimizer.step(again)
    return [params, sorted(optimizer.state_dict()["state"][0])]


def own_optimizer(T):
    class Plain(T.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            with T.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.add_(p.grad, alpha=-group["lr"])

    params, loss = problem(T)
    train(T, Plain(params, 0.1), loss, 3)
    return params


def large(T):
    """More than one block, and a layout that is not contiguous."""
    flat = T.nn.Parameter(values(T, 300001))
    turned = T.nn.Parameter(values(T, 40, 50).t())
    optimizer = T.optim.Adam([flat, turned], lr=0.01)
    for _ in range(2):
        flat.grad, turned.grad = T.cos(flat.detach()), T.cos(turned.detach())
        optimizer.step()
    return [flat, turned]


PROGRAMS = [groups, missing_gradients, named, changing_rate, closure, zero_grad, hooks, lbfgs,
            own_optimizer, large]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_behaviour(program):
    same(program, rtol=1e-4, atol=1e-5)


ERRORS = {
    "lr": lambda T, p: T.optim.SGD([p], lr=-1),
    "momentum": lambda T, p: T.optim.SGD([p], momentum=-1),
    "nesterov": lambda T, p: T.optim.SGD([p], nesterov=True),
    "empty": lambda T, p: T.optim.SGD([]),
    "tensor": lambda T, p: T.optim.SGD(p),
    "number": lambda T, p: T.optim.SGD([3]),
    "set": lambda T, p: T.optim.SGD([{"params": {p}}]),
    "leaf": lambda T, p: T.optim.SGD([p * 1]),
    "twice": lambda T, p: T.optim.SGD([{"params": [p]}, {"params": [p]}]),
    "betas": lambda T, p: T.optim.Adam([p], betas=(1, 2)),
    "eps": lambda T, p: T.optim.Adam([p], eps=-1),
    "fused": lambda T, p: T.optim.Adam([p], fused=True, foreach=True),
    "groups": lambda T, p: T.optim.SGD([p]).load_state_dict({"state": {}, "param_groups": []}),
    "sizes": lambda T, p: T.optim.SGD([p]).load_state_dict(
        {"state": {}, "param_groups": [{"params": [1, 2]}]}
    ),
    "rho": lambda T, p: T.optim.Adadelta([p], rho=2),
    "etas": lambda T, p: T.optim.Rprop([p], etas=(2, 3)),
    "missing params": lambda T, p: T.optim.SGD([{"param": 1}]),
    "complex": lambda T, p: T.optim.SparseAdam([T.nn.Parameter(T.ones(2, dtype=T.complex64))]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(lambda T: ERRORS[name](T, T.nn.Parameter(T.ones(2))))


def test_state_exchange_with_torch():
    import torch

    import rushlight

    def state(T, optimizer):
        return {
            i: {k: v.numpy() for k, v in own.items()}
            for i, own in optimizer.state_dict()["state"].items()
        }

    made = {}
    for T in (torch, rushlight):
        params, loss = problem(T)
        made[T] = T.optim.Adam(params)
        train(T, made[T], loss, 3)
    saved = made[torch].state_dict()
    saved["state"] = {
        i: {k: rushlight.tensor(v) for k, v in own.items()}
        for i, own in state(torch, made[torch]).items()
    }
    made[rushlight].load_state_dict(saved)
    assert list(made[rushlight].state_dict()["state"][0]) == list(saved["state"][0])
