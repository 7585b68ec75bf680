"""Plain gradient descent, SGD, momentum and Adam on the same problems: how each moves, and how fast it learns.

    rushlight examples optimizers
"""

import time

import common
import torch
from torch import nn
from torch.nn import functional as F

# In the valley, learning rates for which a path shows how an optimiser moves.
VALLEY = {
    "gradient descent": (torch.optim.SGD, {"lr": 0.018}),
    "momentum": (torch.optim.SGD, {"lr": 0.018, "momentum": 0.9}),
    "RMSprop": (torch.optim.RMSprop, {"lr": 0.1}),
    "Adam": (torch.optim.Adam, {"lr": 0.3}),
}
# name: (the optimiser, its settings, pictures in a batch; None is all of them). Of four learning rates (1, 2 or 5 times a power of
# ten), each has the one with which its training loss was lowest: after 3 passes, gradient descent after 10.
DIGITS = {
    "gradient descent": (torch.optim.SGD, {"lr": 0.5}, None),
    "SGD": (torch.optim.SGD, {"lr": 0.5}, 64),
    "SGD with momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, 64),
    "Adam": (torch.optim.Adam, {"lr": 0.005}, 64),
}


def valley(point):
    """A long, narrow valley: across it, the slope is fifty times as steep as along it. Lowest at (0, 0)."""
    x, y = point
    return 0.5 * (x**2 + 50 * y**2)


def walk(kind, options, steps):
    """The points (steps + 1, 2) that an optimiser comes through on its way down the valley."""
    point = torch.tensor([-8.0, 1.5], requires_grad=True)
    optimizer = kind([point], **options)
    path = [point.tolist()]
    for _ in range(steps):
        optimizer.zero_grad()
        valley(point).backward()
        optimizer.step()
        path.append(point.tolist())
    return path


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def learn(kind, options, batch, data, epochs, seed):
    """Loss on all training pictures, and test accuracy, after each pass over the pictures; and the seconds that all took."""
    x, y, test_x, test_y = data
    model = network(seed)  # the same first weights for all
    optimizer = kind(model.parameters(), **options)
    losses, accuracies, began = [], [], time.perf_counter()
    for _ in range(epochs + 1):
        with torch.no_grad():
            losses.append(F.cross_entropy(model(x), y).item())
            accuracies.append((model(test_x).argmax(1) == test_y).float().mean().item())
        for chosen in torch.randperm(len(x)).split(batch or len(x)):
            optimizer.zero_grad()
            F.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
    return losses, accuracies, time.perf_counter() - began


def paint_valley(path, walks):
    figure = common.plots.new_figure(9, 5)
    x, y = torch.linspace(-9, 5, 120), torch.linspace(-2, 2, 80)
    height = valley(torch.meshgrid(x, y, indexing="xy"))
    for ax, (name, points) in zip(figure.subplots(2, 2, sharex=True, sharey=True).flat, walks.items()):
        ax.contourf(x.numpy(), y.numpy(), height.numpy() ** 0.5, levels=20, cmap="Blues")
        ax.plot(*zip(*points), marker="o", markersize=2.5, linewidth=1, color="C3")
        ax.plot(0, 0, marker="*", color="black")
        ax.set_title(f"{name}: {valley(points[-1]):.2g} after {len(points) - 1} steps", fontsize=10)
        ax.set(xlim=(-9, 5), ylim=(-2, 2))
    common.plots.save_figure(figure, path)


def paint_curves(path, curves):
    figure = common.plots.new_figure(9, 3.6)
    for ax, title, log in zip(figure.subplots(1, 2), ("training loss", "test accuracy"), (True, False)):
        for name, values in curves[title].items():
            ax.plot(range(len(values)), values, label=name, marker="o", markersize=3)
        ax.set(xlabel="passes over the data", ylabel=title)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        if log:
            ax.set_yscale("log")
    ax.legend()
    common.plots.save_figure(figure, path)


def main():
    p = common.parser(__doc__, "optimizers", device=False)
    p.add_argument("--steps", type=int, default=60, help="in the valley (default: 60)")
    p.add_argument("--epochs", type=int, default=10, help="passes over the digits (default: 10)")
    args = common.arguments(p, epochs=3)
    run = common.Run(args)
    walks = {name: walk(kind, options, args.steps) for name, (kind, options) in VALLEY.items()}
    for name, points in walks.items():
        print(f"the valley, {name}: height {valley(points[0]):.3g} -> {valley(points[-1]):.3g} in {args.steps} steps")
    common.draw(paint_valley, run.out / "valley.png", walks)

    count = 4000 if args.quick else 20000
    data = (*common.mnist(True, args.data, count), *common.mnist(False, args.data, count // 2))
    curves = {"training loss": {}, "test accuracy": {}}
    for name, (kind, options, batch) in DIGITS.items():
        losses, accuracies, seconds = learn(kind, options, batch, data, args.epochs, args.seed)
        curves["training loss"][name], curves["test accuracy"][name] = losses, accuracies
        run.log(optimizer=name, steps=args.epochs * -(-count // (batch or count)), loss=losses[-1], accuracy=accuracies[-1],
                took=round(seconds, 2))
    common.draw(paint_curves, run.out / "digits.png", curves)
    run.result(**{name: values[-1] for name, values in curves["test accuracy"].items()},
               **{f"{name}, height": valley(points[-1]) for name, points in walks.items()})


if __name__ == "__main__":
    main()
