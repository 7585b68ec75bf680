"""Handwritten digits (MNIST): a network of two layers, and a convolutional one.

    rushlight examples mnist_cnn                # the convolutional network
    rushlight examples mnist_cnn --model mlp
"""

import common
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class MLP(nn.Module):
    """Every pixel is connected to every hidden unit, wherever they lie."""

    def __init__(self, hidden=256):
        super().__init__()
        self.hidden = nn.Linear(28 * 28, hidden)
        self.dropout = nn.Dropout(0.2)
        self.scores = nn.Linear(hidden, 10)

    def forward(self, x):
        return self.scores(self.dropout(torch.relu(self.hidden(x.flatten(1)))))


class CNN(nn.Module):
    """Three times: small patterns, the same everywhere, then a coarser grid; at the end, scores from what was found."""

    def __init__(self, width=32):
        super().__init__()

        def stage(before, after):
            return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2))

        self.stages = nn.Sequential(stage(1, width), stage(width, 2 * width), stage(2 * width, 4 * width))
        self.dropout = nn.Dropout(0.3)
        self.scores = nn.Linear(4 * width * 3 * 3, 10)

    def forward(self, x):
        return self.scores(self.dropout(self.stages(x).flatten(1)))


MODELS = {"mlp": MLP, "cnn": CNN}


@torch.no_grad()
def answers(model, loader, device):
    """The model's answers to all pictures, in order."""
    model.eval()
    return torch.cat([model(x.to(device)).argmax(1) for x, _ in loader]).cpu()


def main():
    p = common.parser(__doc__, "mnist_cnn")
    p.add_argument("--model", choices=MODELS, default="cnn")
    p.add_argument("--epochs", type=int, help="passes over the 60,000 pictures (default: 8 for the CNN, 15 for the MLP)")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=2e-3, help="the largest learning rate of the schedule")
    args = common.arguments(p, epochs=2)
    epochs = args.epochs or {"mlp": 15, "cnn": 8}[args.model]

    x, y = common.mnist(True, args.data, count=3000 if args.quick else None)
    test_x, test_y = common.mnist(False, args.data, count=1000 if args.quick else None)
    torch.manual_seed(args.seed)
    train = DataLoader(TensorDataset(x, y), args.batch, shuffle=True)
    test = DataLoader(TensorDataset(test_x, test_y), 500)
    model = MODELS[args.model]().to(args.device)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=epochs * len(train) + 1)

    run = common.Run(args)
    for epoch in range(run.resume(args, model=model, optimizer=optimizer, schedule=schedule), epochs):
        model.train()
        total = torch.zeros((), device=args.device)
        bar = common.progress(train, description=f"epoch {epoch + 1}", last_line=False)
        for pictures, digits in bar:
            pictures, digits = pictures.to(args.device), digits.to(args.device)
            optimizer.zero_grad()
            loss = loss_fn(model(pictures), digits)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
            bar.show(loss=loss.detach())
        accuracy = (answers(model, test, args.device) == test_y).float().mean().item()
        run.log(epoch=epoch + 1, loss=total.item() / len(train), test_accuracy=accuracy)
        run.save(epoch + 1)

    taken = answers(model, test, args.device)
    wrong = (taken != test_y).nonzero().flatten()[:24].tolist()
    run.result(accuracy=(taken == test_y).float().mean().item())
    common.draw(common.plots.plot_curves, run.curves("loss", "test_accuracy"), run.out / "curves.png")
    if wrong:
        titles = [f"{test_y[i].item()} taken for {taken[i].item()}" for i in wrong]
        common.draw(common.plots.show_images, test_x[wrong].numpy(), titles, run.out / "mistakes.png", cmap="gray_r")


if __name__ == "__main__":
    main()
