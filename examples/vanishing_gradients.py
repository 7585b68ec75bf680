"""Why deep networks did not learn, and three cures: ReLU, residual connections, batch normalisation.

    rushlight examples vanishing_gradients
"""

import math

import common
import torch
from torch import nn
from torch.nn import functional as F


class Deep(nn.Module):
    """Many layers of the same width, which are of one of five kinds:

    "sigmoid" and "tanh": the classical x = f(Wx + b). "relu": the same with max(0, .) and He's initial weights. "residual": x + a
    sigmoid layer. "batchnorm": sigmoid layers whose inputs are normalised over the batch.
    """

    def __init__(self, kind, depth=30, width=64, inputs=784, classes=10):
        super().__init__()
        self.kind = kind
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(depth if kind == "batchnorm" else 0))
        self.last = nn.Linear(width, classes)
        for layer in (self.first, *self.hidden):
            if kind == "relu":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        x = self.first(x.flatten(1))
        for i, layer in enumerate(self.hidden):
            if self.kind == "tanh":
                x = torch.tanh(layer(x))
            elif self.kind == "relu":
                x = F.relu(layer(x))
            elif self.kind == "residual":
                x = x + torch.sigmoid(layer(x)) - 0.5
            elif self.kind == "batchnorm":
                x = torch.sigmoid(self.norms[i](layer(x)))
            else:
                x = torch.sigmoid(layer(x))
        return self.last(x)


KINDS = ["sigmoid", "tanh", "relu", "residual", "batchnorm"]


def gradient_norms(model, x, y):
    """The norm of the loss's gradient for each hidden layer's weights, the layer next to the input first."""
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    norms = [layer.weight.grad.norm().item() for layer in model.hidden]
    model.zero_grad()
    return norms


def paint(path, norms, curves):
    figure = common.plots.new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    for name, values in norms.items():
        left.plot(range(1, len(values) + 1), [max(v, 1e-30) for v in values], label=name)
    left.set(xlabel="layer (1 is next to the input)", ylabel="norm of its weights' gradient, at the start", yscale="log")
    for name, values in curves.items():
        right.plot(range(1, len(values) + 1), values, label=name, marker="o", markersize=3)
    right.axhline(math.log(10), color="0.6", linestyle=":", label="guessing")
    right.set(xlabel="passes over the data", ylabel="training loss")
    right.legend()
    for ax in (left, right):
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
    common.plots.save_figure(figure, path)


def main():
    p = common.parser(__doc__, "vanishing_gradients", device=False)
    p.add_argument("--depth", type=int, default=30, help="hidden layers (default: 30)")
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--batch", type=int, default=128)
    args = common.arguments(p, depth=20, epochs=2)
    x, y = common.mnist(True, args.data, count=5000 if args.quick else 20000)
    test_x, test_y = common.mnist(False, args.data, count=1000 if args.quick else None)
    run = common.Run(args)
    norms, curves, accuracies = {}, {}, {}
    for kind in KINDS:
        torch.manual_seed(args.seed)
        model = Deep(kind, args.depth)
        norms[kind] = gradient_norms(model, x[:512], y[:512])
        optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
        curves[kind] = []
        for epoch in range(args.epochs):
            model.train()
            total, batches = torch.zeros(()), torch.randperm(len(x)).split(args.batch)
            for chosen in common.progress(batches, description=f"{kind}, epoch {epoch + 1}", last_line=False):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x[chosen]), y[chosen])
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # so that none is thrown off by a single batch
                optimizer.step()
                total += loss.detach()
            curves[kind].append(total.item() / len(batches))
        model.eval()
        with torch.no_grad():
            accuracies[kind] = (model(test_x).argmax(1) == test_y).float().mean().item()
        run.log(kind=kind, first_layer=norms[kind][0], last_layer=norms[kind][-1], loss=curves[kind][-1], accuracy=accuracies[kind])
    common.draw(paint, run.out / "gradients.png", norms, curves)
    run.result(**accuracies)


if __name__ == "__main__":
    main()
