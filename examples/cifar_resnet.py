"""Small colour pictures of ten kinds of things (CIFAR-10): a residual network, with augmented data.

    rushlight examples cifar_resnet
    rushlight examples cifar_resnet --blocks 3 --width 32 --epochs 60      # larger, better, slower
"""

import common
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, default_collate

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class Block(nn.Module):
    """x + what two convolutions add to it (He et al., 2015). Where the size changes, x goes through one of 1x1."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        added = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + added)


class ResNet(nn.Module):
    """A convolution, three stages of blocks at 32x32, 16x16 and 8x8, the mean over all places, scores."""

    def __init__(self, blocks=1, width=16, classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages, before = [], width
        for i, after in enumerate((width, 2 * width, 4 * width)):
            for j in range(blocks):
                stages.append(Block(before, after, 2 if i > 0 and j == 0 else 1))
                before = after
        self.stages = nn.Sequential(*stages)
        self.scores = nn.Linear(before, classes)

    def forward(self, x):
        return self.scores(self.stages(self.stem(x)).mean((2, 3)))


def augmented(samples, margin=4):
    """A batch in which every picture is shifted by up to 4 pixels, and half of them are mirrored.

    Which row and column each pixel comes from is drawn for each picture; one indexing then moves all of them.
    """
    pictures, classes = default_collate(samples)
    n, channels, height, width = pictures.shape
    rows = torch.randint(0, 2 * margin + 1, (n, 1)) + torch.arange(height)
    columns = torch.randint(0, 2 * margin + 1, (n, 1)) + torch.arange(width)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    pictures = F.pad(pictures, (margin,) * 4)
    which, channel = torch.arange(n).view(n, 1, 1, 1), torch.arange(channels).view(1, -1, 1, 1)
    return pictures[which, channel, rows.view(n, 1, -1, 1), columns.view(n, 1, 1, -1)], classes


@torch.no_grad()
def answers(model, loader, device):
    """The model's answers to all pictures, in order."""
    model.eval()
    return torch.cat([model(x.to(device)).argmax(1) for x, _ in loader]).cpu()


def main():
    p = common.parser(__doc__, "cifar_resnet")
    p.add_argument("--blocks", type=int, default=1, help="residual blocks in each of three stages (default: 1, 8 layers)")
    p.add_argument("--width", type=int, default=16, help="channels of the first stage (default: 16)")
    p.add_argument("--epochs", type=int, default=24)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=0.2, help="the largest learning rate of the schedule (default: 0.2)")
    args = common.arguments(p, width=8, epochs=3, batch=64)
    x, y = common.cifar10(True, args.data, count=1500 if args.quick else None)
    test_x, test_y = common.cifar10(False, args.data, count=500 if args.quick else None)
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    torch.manual_seed(args.seed)
    train = DataLoader(TensorDataset((x - mean) / std, y), args.batch, shuffle=True, drop_last=True, collate_fn=augmented)
    test = DataLoader(TensorDataset((test_x - mean) / std, test_y), 250)
    model = ResNet(args.blocks, args.width).to(args.device)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.epochs * len(train) + 1)

    run = common.Run(args)
    for epoch in range(run.resume(args, model=model, optimizer=optimizer, schedule=schedule), args.epochs):
        model.train()
        total, right = torch.zeros(2, device=args.device)
        bar = common.progress(train, description=f"epoch {epoch + 1}", last_line=False)
        for pictures, classes in bar:
            pictures, classes = pictures.to(args.device), classes.to(args.device)
            optimizer.zero_grad()
            scores = model(pictures)
            loss = loss_fn(scores, classes)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
            right += (scores.argmax(1) == classes).sum()
            bar.show(loss=loss.detach())
        accuracy = (answers(model, test, args.device) == test_y).float().mean().item()
        run.log(epoch=epoch + 1, loss=total.item() / len(train), train_accuracy=right.item() / (len(train) * args.batch),
                test_accuracy=accuracy)
        run.save(epoch + 1)

    taken = answers(model, test, args.device)
    run.result(accuracy=(taken == test_y).float().mean().item())
    common.draw(common.plots.plot_curves, run.curves("loss", "train_accuracy", "test_accuracy"), run.out / "curves.png")
    table = common.plots.confusion_matrix(test_y.numpy(), taken.numpy(), CLASSES)
    common.draw(common.plots.plot_confusion_matrix, table, CLASSES, run.out / "confusion.png", normalize=True)
    seen = torch.cat([augmented([(x[i], y[i])] * 6)[0] for i in range(4)])
    common.draw(common.sheet, run.out / "augmented.png", seen, columns=6, zoom=3)


if __name__ == "__main__":
    main()
