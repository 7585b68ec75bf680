"""A model of Shakespeare's plays, character by character: an LSTM or a small GPT, and text that they write.

    rushlight examples char_lm --model gpt
    rushlight examples char_lm --model gpt --write 1000 --prompt "ROMEO:" --temperature 0.8 --top-k 20    # with what it has learnt
"""

import math
import time

import common
import torch
from torch import nn
from torch.nn import functional as F


class LSTM(nn.Module):
    """Characters to vectors, LSTM layers, scores of the next character. The state is all that it remembers."""

    def __init__(self, characters, width=256, layers=2, dropout=0.2):
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, characters)

    def forward(self, text, state=None):
        """text: (batch, length). Scores (batch, length, characters), and the state after the last character."""
        x, state = self.lstm(self.embedding(text), state)
        return self.head(self.dropout(x)), state


class Attention(nn.Module):
    """Each place looks at itself and the places before."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, cache=None):
        """cache: keys and values of the places before x's, for writing; returned with x's own added."""
        batch, length, width = x.shape
        q, k, v = (t.view(batch, length, self.heads, -1).transpose(1, 2) for t in self.qkv(x).split(width, dim=2))
        if cache is not None:
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        dropout = self.dropout if self.training else 0.0
        # With a cache, x is the one newest place: it may look at all.
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=cache is None)
        return self.out(y.transpose(1, 2).reshape(batch, length, width)), (k, v)


class Block(nn.Module):
    """x + attention, then x + a network of two layers for each place, each after a layer norm."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, cache=None):
        y, cache = self.attention(self.norm1(x), cache)
        x = x + self.dropout(y)
        return x + self.dropout(self.network(self.norm2(x))), cache


class GPT(nn.Module):
    """Characters and places to vectors, blocks, scores of the next character. It remembers `context` characters."""

    def __init__(self, characters, width=128, layers=4, heads=4, context=128, dropout=0.1):
        super().__init__()
        self.context = context
        self.characters = nn.Embedding(characters, width)
        self.places = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, characters, bias=False)
        for name, p in self.named_parameters():  # GPT-2's: what a block adds to x begins small
            if p.dim() > 1:
                last = name.endswith(("attention.out.weight", "network.2.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if last else 0.02)

    def forward(self, text, caches=None):
        """text: (batch, length). Scores (batch, length, characters), and each block's keys and values."""
        past = caches[0][0].shape[2] if caches else 0
        places = torch.arange(past, past + text.shape[1], device=text.device)
        x = self.dropout(self.characters(text) + self.places(places))
        made = []
        for i, block in enumerate(self.blocks):
            x, cache = block(x, caches[i] if caches else None)
            made.append(cache)
        return self.head(self.norm(x)), made


@torch.no_grad()
def write(model, text, length, temperature=1.0, top_k=None, generator=None):
    """Text (a list of numbers) and `length` characters more that the model draws, one after the other.

    temperature: scores are divided by it; below 1 likely characters become likelier, 0 takes the likeliest. top_k: draw
    from the k likeliest only. What the model has read is in its state (LSTM) or its caches (GPT), so it reads each character
    once; a GPT whose context is full reads the latter half again.
    """
    model.eval()
    text = list(text)
    context, device = getattr(model, "context", None), next(model.parameters()).device
    state, new = None, text[-context:] if context else text
    read = 0
    for _ in range(length):
        if context and read + len(new) > context:
            state, new, read = None, text[-context // 2 :], 0
        scores, state = model(torch.tensor([new], device=device), state)
        read += len(new)
        scores = scores[0, -1]
        if top_k:
            least = scores.topk(top_k).values[-1]
            scores = scores.masked_fill(scores < least, -math.inf)
        if temperature == 0:
            drawn = scores.argmax()
        else:
            drawn = torch.multinomial((scores / temperature).softmax(0), 1, generator=generator)
        new = [drawn.item()]
        text += new
    return text


def loss_of(model, x, y):
    scores, _ = model(x)
    return F.cross_entropy(scores.flatten(0, 1), y.flatten())


def windows(data, batch, length, generator):
    """Characters at random places of the text, and those that follow each: two of (batch, length)."""
    starts = torch.randint(len(data) - length, (batch,), generator=generator).tolist()
    x = torch.stack([data[s : s + length + 1] for s in starts])
    return x[:, :-1], x[:, 1:]


@torch.no_grad()
def validation_loss(model, data, length, batch=64):
    """Mean negative log probability of a character, in nats, over the whole text in windows side by side."""
    model.eval()
    rows = (len(data) - 1) // length
    x, y = data[: rows * length].view(rows, length), data[1 : rows * length + 1].view(rows, length)
    total = 0.0
    for i in range(0, rows, batch):
        total += loss_of(model, x[i : i + batch], y[i : i + batch]).item() * len(x[i : i + batch])
    return total / rows


def main():
    p = common.parser(__doc__, "char_lm")
    p.add_argument("--model", choices=["lstm", "gpt"], default="gpt")
    p.add_argument("--steps", type=int, default=2000)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--length", type=int, default=128, help="of a window of text, and of the GPT's context")
    p.add_argument("--lr", type=float, default=2e-3, help="the highest; it rises over 100 steps and falls along a cosine")
    p.add_argument("--write", type=int, default=500, help="characters to write in the end")
    p.add_argument("--prompt", default="\n", help="what they follow")
    p.add_argument("--temperature", type=float, default=0.8)
    p.add_argument("--top-k", type=int, help="draw from the k likeliest characters only")
    args = common.arguments(p, steps=400, batch=16, length=64, write=200, lr=1e-2)
    text = common.data_path("text/tinyshakespeare.txt", args.data).read_text()
    characters = sorted(set(text))
    number = {c: i for i, c in enumerate(characters)}
    data = torch.tensor([number[c] for c in text], device=args.device)
    train, val = data[: len(data) * 9 // 10], data[len(data) * 9 // 10 :]
    every, sizes = 100, {}
    if args.quick:
        val, sizes = val[:10_000], dict(width=64, layers=1, dropout=0.0)

    torch.manual_seed(args.seed)
    model = LSTM(len(characters), **sizes) if args.model == "lstm" else GPT(len(characters), context=args.length, **sizes)
    model.to(args.device)
    places = torch.Generator().manual_seed(args.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(
        (step + 1) / 100, 0.1 + 0.45 * (1 + math.cos(math.pi * step / args.steps))))
    run = common.Run(args)
    start = run.resume(args, model=model, optimizer=optimizer, schedule=schedule, places=places)
    losses = []
    bar = common.progress(range(start, args.steps), description="steps", last_line=False)
    for step in bar:
        model.train()
        loss = loss_of(model, *windows(train, args.batch, args.length, places))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        bar.show(loss=losses[-1])
        if (step + 1) % every == 0 or step + 1 == args.steps:
            run.log(step=step + 1, train_loss=sum(losses) / len(losses), val_loss=validation_loss(model, val, args.length))
            run.save(step + 1)
            losses = []

    began = time.perf_counter()
    written = write(model, [number[c] for c in args.prompt], args.write, args.temperature, args.top_k)
    speed = args.write / (time.perf_counter() - began)
    print("".join(characters[i] for i in written))
    run.result(val_loss=run.history[-1]["val_loss"], written_a_second=round(speed))
    steps = run.curves("step")["step"]
    curves = {name: list(zip(steps, values)) for name, values in run.curves("train_loss", "val_loss").items()}
    common.draw(common.plots.plot_curves, curves, run.out / "curves.png", xlabel="step")


if __name__ == "__main__":
    main()
