"""Is a sentence from a film review positive? A bag of word vectors, an LSTM and a Transformer encoder (rt-polarity).

    rushlight examples sentiment --model bag             # or lstm, transformer
    rushlight examples sentiment --model bag --ask "a film that one does not forget ."    # with what it has learnt
"""

from collections import Counter

import common
import torch
from torch import nn
from torch.nn import functional as F

PAD, UNKNOWN = 0, 1


class Bag(nn.Module):
    """The mean of the words' vectors, and a linear layer: word order does not matter."""

    def __init__(self, words, width=64, dropout=0.5):
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=PAD)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, 2)

    def forward(self, text):
        return self.head(self.dropout(mean_of_words(self.embedding(text), text)))


class LSTM(nn.Module):
    """An LSTM reads the sentence in both directions; the mean of what it says at each word is classified."""

    def __init__(self, words, width=64, dropout=0.5):
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=PAD)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, 2)

    def forward(self, text):
        x, _ = self.lstm(self.dropout(self.embedding(text)))
        return self.head(self.dropout(mean_of_words(x, text)))


class Transformer(nn.Module):
    """Each word looks at all others, twice; the mean of what comes out is classified."""

    def __init__(self, words, width=64, dropout=0.5, layers=2, heads=4, longest=64):
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=PAD)
        self.places = nn.Parameter(torch.randn(longest, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.2, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, 2)

    def forward(self, text):
        x = self.dropout(self.embedding(text) + self.places[: text.shape[1]])
        x = self.encoder(x, src_key_padding_mask=text == PAD)
        return self.head(self.dropout(mean_of_words(x, text)))


MODELS = {"bag": Bag, "lstm": LSTM, "transformer": Transformer}


def mean_of_words(x, text):
    """The mean over each sentence's words, padding left out: (batch, width)."""
    words = (text != PAD).unsqueeze(2)
    return (x * words).sum(1) / words.sum(1)


def read(root):
    """(training, test), lists of (words, 0 or 1): every tenth sentence is for testing."""
    parts = [], []
    for label, file in enumerate(("text/rt-polarity.neg", "text/rt-polarity.pos")):
        for i, line in enumerate(common.data_path(file, root).read_text("latin-1").splitlines()):
            parts[i % 10 == 9].append((line.split(), label))
    return parts


def batches(sentences, size, generator=None):
    """(numbers of words, padded; labels): in random order if there is a generator."""
    n = len(sentences)
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    for chosen in order.split(size):
        rows = [sentences[i] for i in chosen.tolist()]
        longest = -(-max(len(words) for words, _ in rows) // 8) * 8
        yield (torch.tensor([words + [PAD] * (longest - len(words)) for words, _ in rows]),
               torch.tensor([label for _, label in rows]))


@torch.no_grad()
def accuracy(model, sentences, device):
    model.eval()
    right = sum((model(text.to(device)).argmax(1).cpu() == label).sum().item() for text, label in batches(sentences, 256))
    return right / len(sentences)


def main():
    p = common.parser(__doc__, "sentiment")
    p.add_argument("--model", choices=sorted(MODELS), default="bag")
    p.add_argument("--epochs", type=int, default=12)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--width", type=int, default=96)
    p.add_argument("--lr", type=float, default=3e-3, help="the highest; it falls to 0")
    p.add_argument("--unknown", type=float, default=0.1, help="share of words made unknown in training")
    p.add_argument("--ask", metavar="SENTENCE", help="classify this; punctuation stands alone, as in the data")
    args = common.arguments(p, epochs=7, width=48)
    train, test = read(args.data)
    if args.quick:
        train, test = ([s for s in part if len(s[0]) <= 20] for part in (train, test))

    counts = Counter(word for words, _ in train for word in words)
    number = {word: i for i, word in enumerate([w for w, n in counts.most_common() if n > 1], 2)}
    train, test = ([([number.get(w, UNKNOWN) for w in words], label) for words, label in part] for part in (train, test))
    torch.manual_seed(args.seed)
    model = MODELS[args.model](len(number) + 2, args.width).to(args.device)
    order = torch.Generator().manual_seed(args.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, args.epochs)
    run = common.Run(args)
    start = run.resume(args, model=model, optimizer=optimizer, schedule=schedule, order=order)
    for epoch in range(start, args.epochs):
        model.train()
        losses = []
        bar = common.progress(batches(train, args.batch, order), total=-(-len(train) // args.batch), description=f"epoch {epoch + 1}",
                              last_line=False)
        for text, label in bar:
            text = text.masked_fill((torch.rand(text.shape) < args.unknown) & (text != PAD), UNKNOWN)
            loss = F.cross_entropy(model(text.to(args.device)), label.to(args.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            bar.show(loss=losses[-1])
        schedule.step()
        run.log(epoch=epoch + 1, loss=sum(losses) / len(losses), train_accuracy=accuracy(model, train[::8], args.device),
                test_accuracy=accuracy(model, test, args.device))
        run.save(epoch + 1)

    if args.ask:
        model.eval()
        with torch.no_grad():
            text = torch.tensor([[number.get(word, UNKNOWN) for word in args.ask.lower().split()]], device=args.device)
            print(f"positive: {model(text).softmax(1)[0, 1].item():.0%}")
        return
    run.result(accuracy=accuracy(model, test, args.device))
    common.draw(common.plots.plot_curves, run.curves("loss", "train_accuracy", "test_accuracy"), run.out / "curves.png")


if __name__ == "__main__":
    main()
