"""Finding things: a single-stage detector that draws boxes around digits of any size in cluttered scenes.

    rushlight examples detection
    rushlight examples detection --folder PennFudanPed --size 256       # pictures and masks of your own

A folder of your own has `PNGImages/` and `PedMasks/` (a mask's pixels of value k belong to object k), as the Penn-Fudan data
set of pedestrians, or `images/` and `boxes.csv` with lines `file,class,x1,y1,x2,y2`. A fifth of the pictures is for testing.
"""

import csv
from pathlib import Path

import common
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

STRIDE = 8  # a cell of the detector's grid is 8x8 pixels
MOST = 8  # things in a scene

# ---- data: pictures (N, C, size, size) in [0, 1], boxes (N, MOST, 4) as x1, y1, x2, y2, and classes (N, MOST), -1 where there is none


def resized(picture, size):
    """A square picture in another size, bilinear, as an array."""
    n = len(picture)
    at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    low = np.minimum(at.astype(int), n - 2)
    part = at - low
    rows = picture[low] * (1 - part)[:, None] + picture[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def overlaps(a, boxes):
    """The share of box a that is covered by each of the boxes."""
    wide = np.minimum(a[2], boxes[:, 2]) - np.maximum(a[0], boxes[:, 0])
    high = np.minimum(a[3], boxes[:, 3]) - np.maximum(a[1], boxes[:, 1])
    return wide.clip(0) * high.clip(0) / ((a[2] - a[0]) * (a[3] - a[1]))


def scenes(digits, labels, count, size, seed):
    """Scenes of one to five digits, 12 to 48 pixels high, on noise and scraps of other digits."""
    random = np.random.default_rng(seed)
    pictures = np.zeros((count, 1, size, size), np.float32)
    boxes, classes = np.zeros((count, MOST, 4), np.float32), np.full((count, MOST), -1)
    for picture, places, kinds in zip(pictures[:, 0], boxes, classes):
        for _ in range(4):  # scraps: 7x7 pixels of a digit belong to nothing
            scrap = digits[random.integers(len(digits))][10:17, 10:17]
            x, y = random.integers(0, size - 7, 2)
            picture[y : y + 7, x : x + 7] = scrap * random.uniform(0.2, 0.7)
        found, wanted = 0, random.integers(1, 6)
        for _ in range(20):
            if found == wanted:
                break
            which, side = random.integers(len(digits)), int(random.uniform(16, 56))
            digit = resized(digits[which], side)
            ys, xs = np.nonzero(digit > 0.2)
            x, y = random.integers(0, size - side + 1, 2)
            box = np.array([x + xs.min(), y + ys.min(), x + xs.max() + 1, y + ys.max() + 1], np.float32)
            if found and (overlaps(box, places[:found]).max() > 0.15 or max(overlaps(b, box[None])[0] for b in places[:found]) > 0.15):
                continue
            part = picture[y : y + side, x : x + side]
            np.maximum(part, digit * random.uniform(0.5, 1), out=part)
            places[found], kinds[found] = box, labels[which]
            found += 1
        picture += random.normal(0, 0.08, picture.shape).astype(np.float32)
    return torch.from_numpy(pictures.clip(0, 1)), torch.from_numpy(boxes), torch.from_numpy(classes)


def boxes_of_masks(mask):
    """A box around the pixels of each value above 0."""
    for value in np.unique(mask[mask > 0]):
        ys, xs = np.nonzero(mask == value)
        yield 0, (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def from_folder(folder, size):
    """(pictures, boxes, classes, names of the classes) of a user's folder; pictures are scaled to size x size."""
    from PIL import Image

    folder = Path(folder)
    found = {}  # boxes by the picture's path
    if (folder / "boxes.csv").is_file():
        rows = [row for row in csv.reader((folder / "boxes.csv").open()) if row and row[0] != "file"]
        names = sorted({row[1] for row in rows})
        for file, kind, *box in rows:
            found.setdefault(folder / "images" / file, []).append((names.index(kind), tuple(map(float, box))))
    elif (folder / "PedMasks").is_dir():
        names = ["thing"]
        for path in sorted((folder / "PNGImages").iterdir()):
            mask = next((folder / "PedMasks").glob(path.stem + "*.png"))
            found[path] = list(boxes_of_masks(np.array(Image.open(mask))))
    else:
        raise SystemExit(f"{folder} has neither boxes.csv nor PedMasks/")
    pictures = np.zeros((len(found), 3, size, size), np.float32)
    boxes, classes = np.zeros((len(found), MOST, 4), np.float32), np.full((len(found), MOST), -1)
    for i, (path, things) in enumerate(found.items()):
        image = Image.open(path).convert("RGB")
        scale = np.array([size / image.width, size / image.height] * 2)
        pictures[i] = np.asarray(image.resize((size, size))).transpose(2, 0, 1) / 255
        for j, (kind, box) in enumerate(things[:MOST]):
            boxes[i, j], classes[i, j] = np.array(box) * scale, kind
    return torch.from_numpy(pictures), torch.from_numpy(boxes), torch.from_numpy(classes), names


# ---- the detector


def convolution(before, after, stride=1, dilation=1):
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, padding=dilation, dilation=dilation, bias=False), nn.BatchNorm2d(after),
                         nn.ReLU())


class Residual(nn.Module):
    """x + two convolutions; the first one's pixels lie `dilation` apart, so that it sees far."""

    def __init__(self, width, dilation):
        super().__init__()
        self.added = nn.Sequential(convolution(width, width, dilation=dilation), convolution(width, width))

    def forward(self, x):
        return x + self.added(x)


class Detector(nn.Module):
    """For each cell of a grid: a score for each class, and where the edges of the thing lie that has its middle there.

    As FCOS (Tian et al., 2019), with one grid instead of several and no shapes of boxes to choose from.
    """

    def __init__(self, classes, channels=1, width=64):
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, width // 4, 2), convolution(width // 4, width // 2, 2), convolution(width // 2, width // 2),
            convolution(width // 2, width, 2), Residual(width, 1), Residual(width, 2), Residual(width, 2),
        )
        self.scores = nn.Sequential(convolution(width, width), nn.Conv2d(width, classes, 1))
        self.edges = nn.Sequential(convolution(width, width), nn.Conv2d(width, 4, 1))
        nn.init.constant_(self.scores[-1].bias, -4.6)  # at first everything is background, with 99 %

    def forward(self, x):
        """x: (N, C, H, W). Scores (N, cells, classes) before the sigmoid, and boxes (N, cells, 4)."""
        x = self.body(x)
        centres = middles(*x.shape[2:], x.device)
        distances = self.edges(x).flatten(2).transpose(1, 2).clamp(max=4).exp() * (2 * STRIDE)  # left, up, right, down
        boxes = torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=2)
        return self.scores(x).flatten(2).transpose(1, 2), boxes


def middles(rows, columns, device):
    """The points (cells, 2) in the middle of each cell, x and y."""
    y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    return (torch.stack([x, y], dim=2).flatten(0, 1).float() + 0.5) * STRIDE


def targets(boxes, classes, grid):
    """What each cell should say: (class or -1 (N, cells), box (N, cells, 4)).

    A cell answers for a box if its middle lies in the box and at most one cell from the box's middle; where it would answer
    for several, for the smallest.
    """
    centres = middles(*grid, boxes.device)[None, :, None]  # (1, cells, 1, 2)
    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]  # (N, 1, MOST, 2)
    near = (centres - (low + high) / 2).abs() < STRIDE
    mine = (near & (centres > low) & (centres < high)).all(3) & (classes >= 0)[:, None]
    area = (high - low).prod(3).expand(mine.shape).masked_fill(~mine, float("inf"))
    smallest = area.argmin(2)  # (N, cells)
    kinds = classes.gather(1, smallest).masked_fill(~mine.any(2), -1)
    return kinds, boxes.gather(1, smallest[..., None].expand(-1, -1, 4))


def iou(a, b, generalized=False):
    """Intersection over union of boxes (..., 4), elementwise with broadcasting.

    generalized: minus the share of the smallest box around both that neither covers (Rezatofighi et al., 2019), so that boxes
    which do not touch have a gradient too.
    """
    def area(low, high):
        return (high - low).clamp(min=0).prod(-1)

    shared = area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    union = area(a[..., :2], a[..., 2:]) + area(b[..., :2], b[..., 2:]) - shared
    ratio = shared / (union + 1e-6)
    if not generalized:
        return ratio
    around = area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    return ratio - (around - union) / (around + 1e-6)


def loss_of(scores, boxes, kinds, wanted):
    """Focal loss of the scores (Lin et al., 2017) and 1 - generalized IoU of the boxes, for each cell that has a thing."""
    things = kinds >= 0
    count = things.sum().clamp(min=1)
    right = F.one_hot(kinds.clamp(min=0), scores.shape[2]) * things[..., None]
    right = right.to(scores.dtype)
    probability = scores.sigmoid()
    missed = right * (1 - probability) + (1 - right) * probability  # easy cells, the most, count little
    weight = (0.25 * right + 0.75 * (1 - right)) * missed**2
    focal = (weight * F.binary_cross_entropy_with_logits(scores, right, reduction="none")).sum() / count
    return focal, ((1 - iou(boxes, wanted, generalized=True)) * things).sum() / count


def suppressed(boxes, scores, classes, threshold=0.5):
    """Non-maximum suppression: which boxes stay, best first, when each removes others of its class that overlap it."""
    order = scores.argsort(descending=True)
    boxes, classes = boxes[order], classes[order]
    removes = ((iou(boxes[:, None], boxes[None]) > threshold) & (classes[:, None] == classes[None])).tolist()
    kept = []
    for i in range(len(removes)):
        if not any(removes[k][i] for k in kept):
            kept.append(i)
    return order[torch.tensor(kept)]


@torch.no_grad()
def detect(model, pictures, least=0.05, candidates=40):
    """For each picture: (boxes (n, 4), scores (n,), classes (n,)), best first."""
    model.eval()
    scores, boxes = (t.cpu() for t in model(pictures.to(next(model.parameters()).device)))
    best, kinds = scores.sigmoid().max(2)
    found = []
    for cells, score, kind, box in zip(best.topk(candidates, dim=1).indices, best, kinds, boxes):
        score, kind, box = score[cells], kind[cells], box[cells]
        kept = suppressed(box, score, kind)
        box, score, kind = (t[kept].numpy() for t in (box, score, kind))
        sure = score >= least
        found.append((box[sure], score[sure], kind[sure]))
    return found


def average_precision(found, boxes, classes, threshold=0.5):
    """mAP: for each class, the area under precision over recall when detections are taken best first; their mean.

    found: as `detect` returns. A detection is right if it overlaps a thing of its class that no better one has taken.
    """
    boxes, classes = boxes.numpy(), classes.numpy()
    results = []
    for kind in np.unique(classes[classes >= 0]):
        there = [boxes[i][classes[i] == kind] for i in range(len(found))]
        taken = [np.zeros(len(t), bool) for t in there]
        claims = sorted(((s, i, j) for i, (_, scores, kinds) in enumerate(found) for j, s in enumerate(scores) if kinds[j] == kind),
                        reverse=True)
        right = np.zeros(len(claims))
        for n, (_, i, j) in enumerate(claims):
            if len(there[i]):
                overlap = iou(torch.from_numpy(found[i][0][j]), torch.from_numpy(there[i])).numpy()
                best = overlap.argmax()
                if overlap[best] >= threshold and not taken[i][best]:
                    taken[i][best] = right[n] = True
        recall = np.concatenate([[0], right.cumsum() / max(sum(map(len, there)), 1)])
        precision = right.cumsum() / np.arange(1, len(right) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or a higher one
        results.append(float((np.diff(recall) * precision).sum()))
    return float(np.mean(results)) if results else 0.0


def paint(path, pictures, found, truth, names, least=0.4):
    """Pictures with the boxes that were found (with class and score), and dashed those that are there."""
    from matplotlib.patches import Rectangle

    figure = common.plots.new_figure(9, 6.2)
    for ax, picture, (boxes, scores, kinds), there in zip(figure.subplots(2, 3).flat, pictures, found, truth):
        ax.imshow(picture.numpy().transpose(1, 2, 0), cmap="gray_r", vmin=0, vmax=1)
        ax.axis("off")
        for x1, y1, x2, y2 in there.tolist():
            ax.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, linestyle=":", edgecolor="0.5"))
        for (x1, y1, x2, y2), score, kind in zip(boxes, scores, kinds):
            if score >= least:
                ax.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor="C3", linewidth=1.5))
                ax.text(x1, y1 - 2, f"{names[kind]} {score:.2f}", color="C3", fontsize=8)
    common.plots.save_figure(figure, path)


def main():
    p = common.parser(__doc__, "detection")
    p.add_argument("--folder", help="pictures of your own (see above) instead of scenes of digits")
    p.add_argument("--size", type=int, default=96, help="pictures are size x size pixels, a multiple of 8 (default: 96)")
    p.add_argument("--scenes", type=int, default=6000, help="scenes for training (default: 6000)")
    p.add_argument("--width", type=int, default=64)
    p.add_argument("--epochs", type=int, default=14)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=2e-3)
    args = common.arguments(p, scenes=600, width=32, epochs=6)
    if args.folder:
        pictures, boxes, classes, names = from_folder(args.folder, args.size)
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
        train, test = ((pictures[o], boxes[o], classes[o]) for o in order.tensor_split([len(order) * 4 // 5]))
    else:
        names = [str(i) for i in range(10)]
        train, test = (scenes(*(t.squeeze().numpy() for t in common.mnist(part, args.data)), count, args.size, seed=part)
                       for part, count in ((True, args.scenes), (False, 100 if args.quick else 1000)))

    torch.manual_seed(args.seed)
    loader = DataLoader(TensorDataset(*train), args.batch, shuffle=True, drop_last=len(train[0]) > args.batch)
    tests = DataLoader(TensorDataset(*test), 50)
    model = Detector(len(names), channels=train[0].shape[1], width=args.width).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=args.epochs * len(loader) + 1)
    grid = (args.size // STRIDE,) * 2

    run = common.Run(args)
    for epoch in range(run.resume(args, model=model, optimizer=optimizer, schedule=schedule), args.epochs):
        model.train()
        totals = torch.zeros(2, device=args.device)
        bar = common.progress(loader, description=f"epoch {epoch + 1}", last_line=False)
        for batch in bar:
            pictures, boxes, classes = (t.to(args.device) for t in batch)
            optimizer.zero_grad()
            parts = torch.stack(loss_of(*model(pictures), *targets(boxes, classes, grid)))
            parts.sum().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            totals += parts.detach()
            bar.show(loss=parts.detach().sum())
        score_loss, box_loss = (totals / len(loader)).tolist()
        numbers = {}
        if args.quick or (epoch + 1) % 4 == 0 or epoch + 1 == args.epochs:
            found = [f for pictures, *_ in tests for f in detect(model, pictures)]
            numbers = {"mAP": average_precision(found, *test[1:])}
        run.log(epoch=epoch + 1, score_loss=score_loss, box_loss=box_loss, **numbers)
        run.save(epoch + 1)

    found = [f for pictures, *_ in tests for f in detect(model, pictures)]
    run.result(mAP=average_precision(found, *test[1:]), mAP75=average_precision(found, *test[1:], threshold=0.75))
    common.draw(common.plots.plot_curves, run.curves("score_loss", "box_loss"), run.out / "curves.png")
    truth = [b[c >= 0] for b, c in zip(*test[1:])]
    common.draw(paint, run.out / "boxes.png", test[0], found, truth, names)


if __name__ == "__main__":
    main()
