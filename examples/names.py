"""Where does a surname come from? A recurrent network reads it letter by letter (20,000 names of 18 languages).

    rushlight examples names
    rushlight examples names --ask "Kowalski Yamamoto Dubois"      # with what it has learnt
"""

import unicodedata

import common
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    """Letters to vectors; a GRU reads each name forwards and backwards; its two last states are classified."""

    def __init__(self, letters, languages, width=64, hidden=128, dropout=0.3):
        super().__init__()
        self.embedding = nn.Embedding(letters, width, padding_idx=0)
        self.gru = nn.GRU(width, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden, languages)

    def forward(self, names, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(names), lengths, batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed)
        return self.head(self.dropout(torch.cat([last[0], last[1]], dim=1)))


def plain(name):
    """Lower case, without accents: the data's languages should not be told apart by how their files are spelt."""
    return "".join(c for c in unicodedata.normalize("NFD", name.lower()) if not unicodedata.combining(c))


def read(root):
    """(names, languages): names are (name, number of the language). Those that a language has twice count once."""
    files = sorted(common.data_path("names", root).glob("*.txt"))
    names = [(name, i) for i, f in enumerate(files) for name in dict.fromkeys(map(plain, f.read_text("utf-8").split("\n"))) if name]
    return names, [f.stem for f in files]


def padded(names, number, device):
    """Names as (numbers of letters (batch, longest), lengths); the lengths stay on the CPU."""
    rows = [[number.get(c, 1) for c in name] for name in names]
    longest = max(map(len, rows))
    return torch.tensor([r + [0] * (longest - len(r)) for r in rows], device=device), torch.tensor([len(r) for r in rows])


@torch.no_grad()
def confusion(model, names, number, languages, device):
    """How often names of each language (row) were taken for each (column)."""
    model.eval()
    counts = torch.zeros(languages, languages, dtype=torch.long)
    for start in range(0, len(names), 256):
        part = names[start : start + 256]
        guess = model(*padded([name for name, _ in part], number, device)).argmax(1)
        for (_, language), g in zip(part, guess.tolist()):
            counts[language, g] += 1
    return counts


def scores(counts):
    """Share of right answers, and its mean over the languages, in which a rare one counts as much as a common one."""
    return {"test_accuracy": (counts.diag().sum() / counts.sum()).item(), "test_recall": (counts.diag() / counts.sum(1)).mean().item()}


def main():
    p = common.parser(__doc__, "names")
    p.add_argument("--epochs", type=int, default=15)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=2e-3, help="the highest; it falls along a cosine")
    p.add_argument("--ask", metavar="NAMES", help="classify these names")
    args = common.arguments(p, epochs=3)
    names, languages = read(args.data)
    if args.quick:
        names = names[::3]
    number = {c: i for i, c in enumerate(sorted({c for name, _ in names for c in name}), 2)}  # 0 pads, 1 is any other letter
    shuffled = [names[i] for i in torch.randperm(len(names), generator=torch.Generator().manual_seed(1)).tolist()]
    test, train = shuffled[: len(names) // 10], shuffled[len(names) // 10 :]

    torch.manual_seed(args.seed)
    model = Net(len(number) + 2, len(languages)).to(args.device)
    counts = torch.bincount(torch.tensor([language for _, language in train]), minlength=len(languages))
    weight = counts.float().rsqrt().to(args.device)  # rare languages count more, but not as much as common ones
    order = torch.Generator().manual_seed(args.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    run = common.Run(args)
    start = run.resume(args, model=model, optimizer=optimizer, schedule=schedule, order=order)
    for epoch in range(start, args.epochs):
        model.train()
        losses = []
        bar = common.progress(torch.randperm(len(train), generator=order).split(args.batch), description=f"epoch {epoch + 1}",
                              last_line=False)
        for chosen in bar:
            part = [train[i] for i in chosen.tolist()]
            target = torch.tensor([language for _, language in part], device=args.device)
            loss = F.cross_entropy(model(*padded([name for name, _ in part], number, args.device)), target, weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            bar.show(loss=losses[-1])
        schedule.step()
        run.log(epoch=epoch + 1, loss=sum(losses) / len(losses), **scores(confusion(model, test, number, len(languages), args.device)))
        run.save(epoch + 1)
    if args.ask:
        asked = args.ask.split()
        model.eval()
        with torch.no_grad():
            likely = model(*padded([plain(name) for name in asked], number, args.device)).softmax(1)
        for name, p in zip(asked, likely):
            print(name, *(f"  {languages[i]} {p[i].item():.0%}" for i in p.topk(3).indices.tolist()))
        return
    table = confusion(model, test, number, len(languages), args.device)
    run.result(**scores(table))
    common.draw(common.plots.plot_confusion_matrix, table, languages, run.out / "confusion.png", normalize=True)
    common.draw(common.plots.plot_curves, run.curves("loss", "test_accuracy", "test_recall"), run.out / "curves.png")


if __name__ == "__main__":
    main()
