"""English to German with a Transformer: subwords, batches by length, label smoothing, beam search, BLEU (Multi30k).

    rushlight examples translation
    rushlight examples translation --translate "A man rides a bicycle."      # with what it has learnt
"""

import gzip
import math
import re
from collections import Counter

import common
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F

PAD, BOS, EOS, UNKNOWN = range(4)


class Translator(nn.Module):
    """The Transformer of "Attention Is All You Need" with the norms first; one table embeds both languages and scores words."""

    def __init__(self, vocabulary, width=256, heads=4, layers=3, hidden=512, dropout=0.1, longest=256):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        sizes = dict(d_model=width, nhead=heads, dim_feedforward=hidden, dropout=dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(**sizes), layers, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**sizes), layers, nn.LayerNorm(width))
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoids(longest, width), persistent=False)

    def embed(self, words):
        scale = math.sqrt(self.embedding.embedding_dim)
        return self.dropout(self.embedding(words) * scale + self.positions[: words.shape[1]])

    def encode(self, source):
        return self.encoder(self.embed(source), src_key_padding_mask=source == PAD)

    def decode(self, target, memory, memory_padding):
        """Scores of the next word at each place of `target`: (batch, length, vocabulary)."""
        length = target.shape[1]
        future = torch.ones(length, length, dtype=torch.bool, device=target.device).triu(1)
        x = self.decoder(self.embed(target), memory, tgt_mask=future, memory_key_padding_mask=memory_padding)
        return F.linear(x, self.embedding.weight)

    def forward(self, source, target):
        return self.decode(target, self.encode(source), source == PAD)


def sinusoids(length, width):
    """sin and cos of the position at wavelengths from 2 pi to 10,000 * 2 pi: (length, width)."""
    angles = torch.arange(length).unsqueeze(1) * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


# --- data

def subwords(lines, size):
    """A byte-pair vocabulary of both languages."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<pad>", "<s>", "</s>", "<unk>"], show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def padded(rows):
    longest = max(len(r) for r in rows)
    return torch.tensor([r + [PAD] * (longest - len(r)) for r in rows])


def batches(pairs, tokens, generator):
    """Pairs of padded (source, target), in random order; a batch has sentences of like length, and at most `tokens` in German."""
    order = torch.randperm(len(pairs), generator=generator).tolist()
    order.sort(key=lambda i: (-(-len(pairs[i][1]) // 4), -(-len(pairs[i][0]) // 4)))  # stable: random among equals
    made, batch, longest = [], [], 0
    for i in order:
        longest = max(longest, len(pairs[i][1]), len(pairs[i][0]))
        if longest * (len(batch) + 1) > tokens:
            made.append(batch)
            batch, longest = [], max(len(pairs[i][1]), len(pairs[i][0]))
        batch.append(i)
    made.append(batch)
    for b in torch.randperm(len(made), generator=generator).tolist():
        yield padded([pairs[i][0] for i in made[b]]), padded([pairs[i][1] for i in made[b]])


# --- translating

@torch.no_grad()
def beam_search(model, source, beams=4, penalty=1.0, longest=64):
    """The best translation of each sentence of a padded batch: lists of words.

    `beams` beginnings of each sentence are kept. Beginnings are compared by log probability / length ** penalty: without
    that, short ones would win, since each further word makes a sentence less probable.
    """
    n, device = len(source), source.device
    memory = model.encode(source).repeat_interleave(beams, 0)
    padding = (source == PAD).repeat_interleave(beams, 0)
    words = torch.full((n * beams, 1), BOS, device=device)
    scores = torch.full((n, beams), -math.inf, device=device)
    scores[:, 0] = 0.0  # at first all beams of a sentence are the same: only one may be continued
    lengths = torch.zeros(n, beams, device=device)
    done = torch.zeros(n, beams, dtype=torch.bool, device=device)
    first = torch.arange(n, device=device).unsqueeze(1) * beams
    for _ in range(min(longest, 2 * source.shape[1] + 10)):
        logp = model.decode(words, memory, padding)[:, -1].log_softmax(-1).view(n, beams, -1)
        logp[:, :, [PAD, BOS, UNKNOWN]] = -math.inf
        logp = logp.masked_fill(done.unsqueeze(2), -math.inf)
        logp[:, :, PAD] = logp[:, :, PAD].masked_fill(done, 0.0)  # what is done goes on with padding, at no cost
        total = scores.unsqueeze(2) + logp
        length = (lengths + ~done).unsqueeze(2)
        _, best = (total / length**penalty).flatten(1).topk(beams)
        beam, word = best // logp.shape[2], best % logp.shape[2]
        scores = total.flatten(1).gather(1, best)
        lengths = length.squeeze(2).gather(1, beam)
        done = done.gather(1, beam) | (word == EOS)
        words = torch.cat([words[(first + beam).flatten()], word.view(-1, 1)], dim=1)
        if done.all():
            break
    best = (scores / lengths**penalty).argmax(1)
    chosen = words[first.flatten() + best, 1:].tolist()
    return [row[: row.index(EOS)] if EOS in row else row for row in chosen]


def translate(model, tokenizer, sentences, beams=4, batch=50):
    """German for English sentences."""
    model.eval()
    device = model.positions.device
    sources = [e.ids + [EOS] for e in tokenizer.encode_batch(sentences)]
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))  # little padding
    german = [""] * len(sources)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        found = beam_search(model, padded([sources[i] for i in chosen]).to(device), beams)
        for i, words in zip(chosen, found):
            german[i] = tokenizer.decode(words)
    return german


def bleu_tokens(line):
    """Words and punctuation, as mteval-v13a (and sacrebleu) split them."""
    line = re.sub(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 ", f" {line} ")
    line = re.sub(r"([^0-9])([\.,])", r"\1 \2 ", line)
    line = re.sub(r"([\.,])([^0-9])", r" \1 \2", line)
    return re.sub(r"([0-9])(-)", r"\1 \2 ", line).split()


def bleu(hypotheses, references):
    """Corpus BLEU in percent (Papineni et al., 2002): how many n-grams, n = 1 to 4, of the translations the references have."""
    found, all_, made, wanted = [0] * 4, [0] * 4, 0, 0
    for hypothesis, reference in zip(hypotheses, references):
        h, r = bleu_tokens(hypothesis), bleu_tokens(reference)
        made, wanted = made + len(h), wanted + len(r)
        for n in range(1, 5):
            ours = Counter(tuple(h[i : i + n]) for i in range(len(h) - n + 1))
            theirs = Counter(tuple(r[i : i + n]) for i in range(len(r) - n + 1))
            found[n - 1] += (ours & theirs).total()
            all_[n - 1] += ours.total()
    if min(found) == 0:
        return 0.0
    precision = math.exp(sum(math.log(f / a) for f, a in zip(found, all_)) / 4)
    return 100 * precision * min(1.0, math.exp(1 - wanted / made))


# --- training

def loss_of(model, source, target, smoothing=0.0):
    source, target = source.to(model.positions.device), target.to(model.positions.device)
    scores = model(source, target[:, :-1])
    return F.cross_entropy(scores.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD, label_smoothing=smoothing)


@torch.no_grad()
def validation_loss(model, pairs, tokens):
    """Mean negative log probability of a German subword, in nats."""
    model.eval()
    total = count = 0.0
    for source, target in batches(pairs, tokens, torch.Generator().manual_seed(0)):
        n = (target[:, 1:] != PAD).sum().item()
        total += n * loss_of(model, source, target).item()
        count += n
    return total / count


def read(split, root):
    lines = []
    for language in ("en", "de"):
        with gzip.open(common.data_path(f"translation/{split}.{language}.gz", root), "rt", encoding="utf-8") as f:
            lines.append(f.read().split("\n")[:-1])
    return lines


def main():
    p = common.parser(__doc__, "translation")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--vocabulary", type=int, default=4000, help="subwords of both languages")
    p.add_argument("--width", type=int, default=128)
    p.add_argument("--layers", type=int, default=4, help="of the encoder, and of the decoder")
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--batch-tokens", type=int, default=2000, help="places for words in a batch of each language")
    p.add_argument("--lr", type=float, default=3e-3, help="the highest, after a tenth of the steps")
    p.add_argument("--beams", type=int, default=4)
    p.add_argument("--translate", metavar="SENTENCE", help="translate this with the trained model")
    args = common.arguments(p, vocabulary=800, width=64, layers=2, batch_tokens=500, epochs=12)
    english, german = read("train", args.data)
    held_out, test = read("val", args.data), read("test_2016_flickr", args.data)
    if args.quick:  # short sentences, again and again
        keep = [i for i, line in enumerate(german) if len(line) < 35][:500]
        english, german = [english[i] for i in keep], [german[i] for i in keep]
        held_out = test = english[:100], german[:100]

    torch.manual_seed(args.seed)
    tokenizer = subwords(english + german, args.vocabulary)

    def numbers(sources, targets):
        encoded = zip(tokenizer.encode_batch(sources), tokenizer.encode_batch(targets))
        return [(s.ids + [EOS], [BOS] + t.ids + [EOS]) for s, t in encoded]

    train, val = numbers(english, german), numbers(*held_out)
    model = Translator(tokenizer.get_vocab_size(), args.width, 4, args.layers, 2 * args.width, args.dropout)
    model.to(args.device)
    order = torch.Generator().manual_seed(args.seed)
    steps = args.epochs * sum(1 for _ in batches(train, args.batch_tokens, torch.Generator().manual_seed(0)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps + 1, pct_start=0.1, anneal_strategy="linear",
                                                   cycle_momentum=False)
    run = common.Run(args)
    start = run.resume(args, model=model, optimizer=optimizer, schedule=schedule, order=order)
    for epoch in range(start, args.epochs):
        model.train()
        losses = []
        bar = common.progress(batches(train, args.batch_tokens, order), total=steps // args.epochs, description=f"epoch {epoch + 1}",
                              last_line=False)
        for source, target in bar:
            loss = loss_of(model, source, target, smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            bar.show(loss=losses[-1])
        run.log(epoch=epoch + 1, train_loss=sum(losses) / len(losses), val_loss=validation_loss(model, val, args.batch_tokens))
        run.save(epoch + 1)

    if args.translate:
        print(translate(model, tokenizer, [args.translate], args.beams)[0])
        return
    german, greedy = (translate(model, tokenizer, test[0], beams) for beams in (args.beams, 1))
    for i in range(0, len(german), max(1, len(german) // 8)):
        print(f"\n  {test[0][i]}\n> {german[i]}\n= {test[1][i]}")
    run.result(bleu=bleu(german, test[1]), greedy_bleu=bleu(greedy, test[1]), val_loss=run.history[-1]["val_loss"])
    common.draw(common.plots.plot_curves, run.curves("train_loss", "val_loss"), run.out / "curves.png")


if __name__ == "__main__":
    main()
