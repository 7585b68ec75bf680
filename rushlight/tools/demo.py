"""`rushlight demo`: the MNIST job with progress, checkpoint, curve and pictures."""

from __future__ import annotations

import os
import sys


def _data(train: bool):
    """(pictures in [0, 1], labels, name of the data set)."""
    from .. import datasets
    from ..datasets.files import DataFileError

    try:
        found, name = datasets.MNIST(train=train), "MNIST"
    except DataFileError as e:
        if not str(e).startswith("could not download"):
            raise
        if train:
            print(f"MNIST was not found and could not be downloaded; using scikit-learn's digits.\n{e}",
                  file=sys.stderr)
        found, name = datasets.Digits(train=train), "digits"
    pictures = found.data.unsqueeze(1).float() / 255
    return pictures, found.targets, name


def make_net():
    """784-128-10 with ReLU."""
    import rushlight as torch

    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(784, 128)
            self.fc2 = nn.Linear(128, 10)

        def forward(self, x):
            x = torch.flatten(x, 1)
            return self.fc2(torch.relu(self.fc1(x)))

    return Net()


def accuracy(net, loader) -> tuple[float, list]:
    """(share of right answers, [(picture, answer, label)] of the first wrong ones)."""
    import rushlight as torch

    correct = total = 0
    wrong: list = []
    with torch.no_grad():
        for x, y in loader:
            _, predicted = torch.max(net(x).data, 1)
            right = predicted == y
            total += y.size(0)
            correct += right.sum().item()
            if len(wrong) < 25:
                for i in (~right).nonzero().flatten().tolist():
                    wrong.append((x[i, 0].numpy(), predicted[i].item(), y[i].item()))
    return correct / total, wrong[:25]


def _state(path) -> dict:
    """What a checkpoint holds; DataFileError if it cannot be read."""
    import rushlight as torch

    from ..datasets.files import DataFileError

    try:
        state = torch.load(path)
    except (RuntimeError, ValueError, TypeError, EOFError) as e:
        raise DataFileError(f"{path} cannot be gone on from ({e}); --fresh starts anew") from None
    return state if isinstance(state, dict) else {}


def train(epochs: int, out: str, seed: int, quick: bool, fresh: bool) -> int:
    """Run the demo; returns the exit status."""
    import rushlight as torch

    from .board import Recorder
    from .progress import progress

    data = torch.utils.data
    x, y, name = _data(True)
    tx, ty, _ = _data(False)
    if quick:
        x, y = x[:6000].clone(), y[:6000].clone()
    torch.use_deterministic_algorithms(True)  # the same bits, interrupted or not
    torch.manual_seed(seed)
    net = make_net()
    loss_fn = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    loader = data.DataLoader(data.TensorDataset(x, y), batch_size=64, shuffle=True)
    test = data.DataLoader(data.TensorDataset(tx, ty), batch_size=1000)
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, "checkpoint.pt")
    setting = {"data": name, "seed": seed, "size": len(x)}
    first, curve = 0, []
    if os.path.exists(path) and not fresh:
        state = _state(path)
        if state.get("setting") == setting and state["epoch"] <= epochs:
            net.load_state_dict(state["net"])
            optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
            first, curve = state["epoch"], list(state["curve"])
            print(f"going on after epoch {first} of {path} (--fresh starts anew)")
        else:
            os.replace(path, path + ".old")
            print(f"{path} belongs to another setting: kept as {path}.old, starting anew")

    def save(epoch):
        torch.save(
            {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch,
             "random": torch.get_rng_state(), "curve": curve, "setting": setting}, path,
        )

    board = Recorder(out, net, start=first * len(loader))
    try:
        for epoch in range(first, epochs):
            running = 0.0
            bar = progress(loader, description=f"epoch {epoch + 1:2d}", last_line=False)
            for inputs, labels in bar:
                optimizer.zero_grad()
                loss = loss_fn(net(inputs), labels)
                loss.backward()
                optimizer.step()
                running += loss.item()
                bar.show(loss=loss)
                board.log(loss=loss)
            curve.append(running / len(loader))
            save(epoch + 1)
            print(f"epoch {epoch + 1:2d}  loss {curve[-1]:.3f}", flush=True)
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from {path}" if os.path.exists(path)
              else "\nstopped before the first checkpoint")
        return 130
    share, wrong = accuracy(net, test)
    board.log({"test/accuracy": share})
    board.close()
    print(f"accuracy on the {len(tx)} {name} test images: {100 * share:.2f} %")
    print(f"checkpoint {path}")
    print(f"curves     rushlight board {out}")
    _pictures(out, curve, wrong)
    return 0


def _pictures(out, curve, wrong) -> None:
    from .plots import plot_curves, show_images

    paths = [os.path.join(out, "loss.png"), os.path.join(out, "mistakes.png")]
    try:
        plot_curves({"mean training loss": curve}, paths[0], title="MNIST, 784-128-10")
        if wrong:
            show_images([x for x, _, _ in wrong], [f"{y} taken for {a}" for _, a, y in wrong],
                        paths[1], title="Wrongly classified test images", cmap="gray_r")
    except ImportError:
        print("no pictures: matplotlib is missing (pip install 'rushlight[plots]')")
        return
    print(f"pictures   {', '.join(paths[: 1 + bool(wrong)])}")
