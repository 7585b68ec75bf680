"""The main job in both frameworks: ten epochs of MNIST, the same program, seed and data.

    python benchmarks/mnist.py [--epochs 10] [--seed 3] [--threads 1]

Prints each epoch's mean loss as both frameworks give it, and the accuracies on the test images.
Rounding (PyTorch's own differs with the number of its threads) moves the tenth loss by up to 0.00004:
with half of the seeds, one of the ten lies next to the middle between two printed numbers. With
seed 3 none does.
"""

from __future__ import annotations

import argparse
import time

import torch

import rushlight
from rushlight import datasets


def main_job(framework, train, test, epochs: int, seed: int = 0):
    """Losses of the epochs, the accuracy in percent, and the seconds that training took."""
    nn, data = framework.nn, framework.utils.data

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(784, 128)
            self.fc2 = nn.Linear(128, 10)

        def forward(self, x):
            x = framework.flatten(x, 1)
            x = self.fc1(x)
            x = framework.relu(x)
            return self.fc2(x)

    def loader(images, labels, shuffle):
        x = framework.from_numpy(images).float() / 255
        pairs = data.TensorDataset(x, framework.from_numpy(labels))
        return data.DataLoader(pairs, batch_size=64, shuffle=shuffle)

    framework.manual_seed(seed)
    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = framework.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    trainloader, testloader = loader(*train, True), loader(*test, False)
    losses = []
    begin = time.perf_counter()
    for _ in range(epochs):
        running_loss = 0.0
        for i, batch in enumerate(trainloader, 0):
            inputs, labels = batch
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        losses.append(running_loss / (i + 1))
    took = time.perf_counter() - begin
    correct = total = 0
    with framework.no_grad():
        for images, labels in testloader:
            outputs = net(images)
            _, predicted = framework.max(outputs.data, 1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
    return losses, 100 * correct / total, took


def arrays(train: bool):
    """(images, labels) of MNIST as NumPy arrays."""
    mnist = datasets.MNIST(train=train)
    return mnist.data.numpy(), mnist.targets.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    epochs = given.epochs
    for framework in (torch, rushlight):
        framework.set_num_threads(given.threads)
    train, test = arrays(True), arrays(False)
    made = {f: main_job(f, train, test, epochs, given.seed) for f in (torch, rushlight)}
    print(f"{'epoch':>6}{'PyTorch':>10}{'Rushlight':>11}")
    for epoch, (a, b) in enumerate(zip(made[torch][0], made[rushlight][0], strict=True), 1):
        print(f"{epoch:6}{a:10.3f}{b:11.3f}{'' if f'{a:.3f}' == f'{b:.3f}' else '   differs'}")
    for what, k, form in (("accuracy %", 1, ".2f"), ("training s", 2, ".1f")):
        print(f"{what}: PyTorch {made[torch][k]:{form}}, Rushlight {made[rushlight][k]:{form}}")


if __name__ == "__main__":
    main()
