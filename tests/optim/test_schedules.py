"""Learning-rate schedules: the same rates and state as PyTorch."""

import pytest
from programs import same, same_error

CONFIGS = [
    ("StepLR", {"step_size": 4, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [3, 8, 20], "gamma": 0.3}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 7}),
    ("LinearLR", {"start_factor": 0.2, "total_iters": 9}), ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.001}),
    ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2, "eta_min": 0.001}),
    ("PolynomialLR", {"total_iters": 12, "power": 2.0}),
    ("LambdaLR", {"lr_lambda": lambda e: 0.95**e}),
    ("MultiplicativeLR", {"lr_lambda": lambda e: 0.95}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 4, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 3, "mode": "exp_range"}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 40}),
    ("OneCycleLR", {"max_lr": [0.3, 0.2], "epochs": 4, "steps_per_epoch": 10,
                    "anneal_strategy": "linear", "three_phase": True}),
]  # fmt: skip


def optimizer(T, name="SGD"):
    params = [T.nn.Parameter(T.ones(2)), T.nn.Parameter(T.ones(3))]
    options = {"momentum": 0.9} if name == "SGD" else {}
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.02}]
    return getattr(T.optim, name)(groups, lr=0.1, **options)


def follow(o, schedule, steps):
    seen = []
    for _ in range(steps):
        o.step()
        schedule.step()
        seen.append([[g["lr"], g.get("momentum"), g.get("betas")] for g in o.param_groups])
    return seen


def plain(state):
    return sorted((k, str(v)) for k, v in state.items() if k not in ("_schedulers", "lr_lambdas"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), CONFIGS)
def test_rates(name, options, kind):
    def program(T):
        o = optimizer(T, kind)
        make = getattr(T.optim.lr_scheduler, name)
        schedule = make(o, **options)
        rates = follow(o, schedule, 30)
        other = make(optimizer(T, kind), **options)
        other.load_state_dict(schedule.state_dict())
        return [rates, sorted(schedule.state_dict()), other.get_last_lr()]

    same(program)


def sequential(T):
    s, o = T.optim.lr_scheduler, optimizer(T)
    parts = [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 20)]
    schedule = s.SequentialLR(o, parts, [5])
    return [follow(o, schedule, 20), sorted(schedule.state_dict())]


def chained(T):
    s, o = T.optim.lr_scheduler, optimizer(T)
    schedule = s.ChainedScheduler([s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)])
    return [follow(o, schedule, 10), sorted(schedule.state_dict())]


def plateau(T):
    found = []
    for options in (
        {}, {"mode": "max", "factor": 0.5, "patience": 2},
        {"threshold_mode": "abs", "threshold": 0.1, "cooldown": 2, "patience": 1},
    ):  # fmt: skip
        o = optimizer(T)
        schedule = T.optim.lr_scheduler.ReduceLROnPlateau(o, **options)
        for i in range(40):
            schedule.step(max(1.0 - 0.1 * i, 0.4))
            found.append([g["lr"] for g in o.param_groups])
        found.append([schedule.num_bad_epochs, sorted(schedule.state_dict())])
    return found


def averages(T):
    swa = T.optim.swa_utils
    model = T.nn.Linear(3, 2)
    with T.no_grad():
        model.weight.fill_(0.5)
        model.bias.zero_()
    mean = swa.AveragedModel(model)
    moving = swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9))
    o = T.optim.SGD(model.parameters(), lr=0.1)
    rate = swa.SWALR(o, swa_lr=0.05, anneal_epochs=3)
    rates = []
    for i in range(5):
        with T.no_grad():
            model.weight.add_(0.1 * i)
        mean.update_parameters(model)
        moving.update_parameters(model)
        o.step()
        rate.step()
        rates.append(o.param_groups[0]["lr"])
    return [rates, mean.module.weight, moving.module.weight, mean.n_averaged]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", [sequential, chained, plateau, averages])
def test_composed(program):
    same(program)


ERRORS = {
    "not_optimizer": lambda T: T.optim.lr_scheduler.StepLR(3, 1),
    "lambdas": lambda T: T.optim.lr_scheduler.LambdaLR(optimizer(T), [abs]),
    "cycle": lambda T: T.optim.lr_scheduler.OneCycleLR(optimizer(T), 0.1),
    "factor": lambda T: T.optim.lr_scheduler.ReduceLROnPlateau(optimizer(T), factor=2.0),
    "T_0": lambda T: T.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer(T), 0),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(ERRORS[name])
