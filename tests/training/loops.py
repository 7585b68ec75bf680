"""Ten training loops, written once for PyTorch and for Rushlight: `loop(T, steps, size)`.

T is `torch` or `rushlight`. Each gives the loss of every step (or several), and at the end a quality
measured on data that was not trained on. Data are real where the task has any, drawn by NumPy
otherwise, so that both frameworks see the same numbers. size: "small" for tests, "full".
"""

from __future__ import annotations

import functools
import string

import numpy as np

from rushlight.datasets import files


def found(name: str, file: str):
    """The path of a data file; FileNotFoundError if this machine has none."""
    path = files.find(name, file)
    if path is None:
        raise FileNotFoundError(f"{name}/{file}")
    return path


@functools.cache
def mnist(train: bool = True):
    """(pictures (n, 1, 28, 28) in [0, 1], labels)."""
    part = "train" if train else "t10k"
    x = files.read_idx(found("mnist", f"{part}-images-idx3-ubyte.gz"))
    y = files.read_idx(found("mnist", f"{part}-labels-idx1-ubyte.gz"))
    return (x[:, None] / np.float32(255)).astype(np.float32), y.astype(np.int64)


@functools.cache
def cifar(train: bool = True):
    """(pictures (n, 3, 32, 32) around 0, labels)."""
    raw = files.content(found("cifar10", "data_batch_1.bin.gz" if train else "test_batch.bin.gz"))
    rows = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    x = (rows[:, 1:].reshape(-1, 3, 32, 32) / np.float32(127.5) - 1).astype(np.float32)
    return x, rows[:, 0].astype(np.int64)


@functools.cache
def shakespeare():
    """(characters as numbers, how many kinds)."""
    text = found("text", "tinyshakespeare.txt").read_text()
    kinds = sorted(set(text))
    return np.array([kinds.index(c) for c in text[:400_000]]), len(kinds)


@functools.cache
def surnames():
    """(names as lists of letters, language of each, languages), shuffled."""
    folder = found("names", "English.txt").parent
    letters = string.ascii_letters + " '-"
    names, labels = [], []
    languages = sorted(p.stem for p in folder.glob("*.txt"))
    for k, language in enumerate(languages):
        for line in (folder / f"{language}.txt").read_text("utf-8").splitlines():
            made = [letters.find(c) + 1 for c in line.strip() if c in letters]
            if made:
                names.append(made)
                labels.append(k)
    order = np.random.default_rng(0).permutation(len(names))
    return [names[i] for i in order], np.array(labels)[order], languages


@functools.cache
def multi30k(words: int):
    """Pairs of sentences as word numbers (0 padding, 1 unknown, 2 start, 3 end)."""
    pairs = []
    for language in ("de", "en"):
        raw = files.content(found("translation", f"train.{language}.gz")).decode()
        lines = [line.lower().split() for line in raw.splitlines()[:12_000]]
        counts: dict[str, int] = {}
        for line in lines[:11_000]:
            for w in line:
                counts[w] = counts.get(w, 0) + 1
        kept = sorted(counts, key=lambda w: (-counts[w], w))[: words - 4]
        number = {w: i + 4 for i, w in enumerate(kept)}
        pairs.append([[2, *(number.get(w, 1) for w in line[:18]), 3] for line in lines])
    return pairs


def batches(n: int, size: int, steps: int, seed: int = 0):
    """`steps` index arrays of `size` below n, epoch after epoch in new random orders."""
    rng = np.random.default_rng(seed)
    at, order = 0, rng.permutation(n)
    for _ in range(steps):
        if at + size > n:
            at, order = 0, rng.permutation(n)
        yield order[at : at + size]
        at += size


def accuracy(T, model, x, y) -> float:
    """The share of right answers."""
    model.eval()
    with T.no_grad():
        right = sum(
            (model(T.from_numpy(x[i : i + 250])).argmax(1) == T.from_numpy(y[i : i + 250])).sum().item()
            for i in range(0, len(x), 250)
        )
    model.train()
    return right / len(x)


def cnn(T, steps, size):
    """A convolutional net with batch normalisation on CIFAR-10; SGD with momentum."""
    nn = T.nn
    wide, batch = (8, 16) if size == "small" else (24, 64)
    model = nn.Sequential(
        nn.Conv2d(3, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(wide, 2 * wide, 3, padding=1), nn.BatchNorm2d(2 * wide), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(2 * wide, 4 * wide, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16 * wide, 10),
    )
    optimizer = T.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)
    x, y = cifar()
    losses = []
    for i in batches(len(x), batch, steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(T.from_numpy(x[i])), T.from_numpy(y[i]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, accuracy(T, model, *(a[:1000] for a in cifar(False)))


def language_model(T, steps, size):
    """A character-level LSTM on Shakespeare; Adam, clipped gradients, state carried on."""
    nn = T.nn
    text, kinds = shakespeare()
    wide, batch, length = (32, 8, 16) if size == "small" else (128, 32, 48)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(kinds, wide)
            self.lstm = nn.LSTM(wide, wide, num_layers=2)
            self.out = nn.Linear(wide, kinds)

        def forward(self, x, state=None):
            made, state = self.lstm(self.embed(x), state)
            return self.out(made), state

    model = Model()
    optimizer = T.optim.Adam(model.parameters(), lr=3e-3)
    train = text[: len(text) * 9 // 10]
    columns = train[: len(train) // batch * batch].reshape(batch, -1).T.copy()
    losses, state = [], None
    for step in range(steps):
        at = step * length % (len(columns) - length - 1)
        x, y = (T.from_numpy(columns[at + k : at + k + length]) for k in (0, 1))
        if state is not None:
            state = tuple(s.detach() for s in state)
        made, state = model(x, state)
        loss = nn.functional.cross_entropy(made.reshape(-1, kinds), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    rest = T.from_numpy(text[len(text) * 9 // 10 :][:4001])
    with T.no_grad():
        made, _ = model(rest[:-1].reshape(8, 500).t())
        wanted = rest[1:].reshape(8, 500).t()
        return losses, nn.functional.cross_entropy(made.reshape(-1, kinds), wanted.reshape(-1)).item()


def gru_classifier(T, steps, size):
    """The language of surnames by a bidirectional GRU over packed sequences; AdamW, OneCycleLR."""
    nn = T.nn
    names, labels, languages = surnames()
    wide, batch = (16, 16) if size == "small" else (64, 64)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(56, wide, padding_idx=0)
            self.gru = nn.GRU(wide, wide, batch_first=True, bidirectional=True)
            self.out = nn.Linear(2 * wide, len(languages))

        def forward(self, rows):
            lengths = T.tensor([len(r) for r in rows])
            x = nn.utils.rnn.pad_sequence([T.tensor(r) for r in rows], batch_first=True)
            packed = nn.utils.rnn.pack_padded_sequence(
                self.embed(x), lengths, batch_first=True, enforce_sorted=False
            )
            _, last = self.gru(packed)
            return self.out(T.cat([last[0], last[1]], 1))

    model = Model()
    optimizer = T.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = T.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    held_out = 2000
    losses = []
    for i in batches(len(names) - held_out, batch, steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(
            model([names[held_out + k] for k in i]), T.from_numpy(labels[held_out + i])
        )
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    n = 300 if size == "small" else held_out
    with T.no_grad():
        right = (model(names[:n]).argmax(1) == T.from_numpy(labels[:n])).sum().item()
    return losses, right / n


def translation(T, steps, size):
    """A Transformer encoder-decoder from German to English; Adam with warm-up, label smoothing."""
    nn = T.nn
    words, wide, batch, layers = (300, 32, 8, 1) if size == "small" else (2000, 96, 32, 2)
    source, target = multi30k(words)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.source = nn.Embedding(words, wide, padding_idx=0)
            self.target = nn.Embedding(words, wide, padding_idx=0)
            self.places = nn.Parameter(T.zeros(20, 1, wide))
            self.transformer = nn.Transformer(wide, 4, layers, layers, 2 * wide, dropout=0.0)
            self.out = nn.Linear(wide, words)

        def forward(self, s, t):
            mask = nn.Transformer.generate_square_subsequent_mask(t.shape[0])
            made = self.transformer(
                self.source(s) + self.places[: s.shape[0]], self.target(t) + self.places[: t.shape[0]],
                tgt_mask=mask, src_key_padding_mask=(s == 0).t(), tgt_key_padding_mask=(t == 0).t(),
                memory_key_padding_mask=(s == 0).t(),
            )
            return self.out(made)

    model = Model()
    optimizer = T.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98))
    schedule = T.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min((k + 1) / 40, 1.0))
    loss_fn = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=0.1)

    def tensors(index):
        return (nn.utils.rnn.pad_sequence([T.tensor(side[k]) for k in index])
                for side in (source, target))

    def loss_of(index):
        s, t = tensors(index)
        return loss_fn(model(s, t[:-1]).reshape(-1, words), t[1:].reshape(-1))

    losses = []
    for i in batches(11_000, batch, steps):
        optimizer.zero_grad()
        loss = loss_of(i)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    model.eval()
    with T.no_grad():
        return losses, np.mean([loss_of(range(11_000 + k, 11_050 + k)).item()
                                for k in range(0, 100 if size == "small" else 1000, 50)])


def autoencoder(T, steps, size):
    """Convolutional and transposed convolutional layers on MNIST; RMSprop."""
    nn = T.nn
    wide, batch = (4, 8) if size == "small" else (16, 64)
    model = nn.Sequential(
        nn.Conv2d(1, wide, 3, 2, 1), nn.ELU(), nn.Conv2d(wide, 2 * wide, 3, 2, 1), nn.ELU(),
        nn.Flatten(), nn.Linear(98 * wide, 12), nn.Linear(12, 98 * wide),
        nn.Unflatten(1, (2 * wide, 7, 7)), nn.ConvTranspose2d(2 * wide, wide, 4, 2, 1), nn.ELU(),
        nn.ConvTranspose2d(wide, 1, 4, 2, 1), nn.Sigmoid(),
    )
    optimizer = T.optim.RMSprop(model.parameters(), lr=1e-3)
    x, _ = mnist()
    losses = []
    for i in batches(len(x), batch, steps):
        picture = T.from_numpy(x[i])
        loss = nn.functional.mse_loss(model(picture), picture)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with T.no_grad():
        test = T.from_numpy(mnist(False)[0][:500])
        return losses, nn.functional.mse_loss(model(test), test).item()


def gan(T, steps, size):
    """A generative adversarial net on MNIST: two optimisers, detached fakes, dropout, noise."""
    nn = T.nn
    wide, batch = (32, 16) if size == "small" else (128, 64)
    generator = nn.Sequential(
        nn.Linear(16, wide), nn.LayerNorm(wide), nn.LeakyReLU(0.2), nn.Linear(wide, 784), nn.Tanh()
    )
    judge = nn.Sequential(
        nn.Linear(784, wide), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(wide, 1)
    )
    options = {"lr": 2e-4, "betas": (0.5, 0.999)}
    g_optimizer = T.optim.Adam(generator.parameters(), **options)
    d_optimizer = T.optim.Adam(judge.parameters(), **options)
    loss_fn = nn.BCEWithLogitsLoss()
    x, _ = mnist()
    losses = []
    for i in batches(len(x), batch, steps):
        real = T.from_numpy(x[i]).flatten(1) * 2 - 1
        fake = generator(T.randn(batch, 16))
        d_loss = loss_fn(judge(real), T.ones(batch, 1)) + \
            loss_fn(judge(fake.detach()), T.zeros(batch, 1))
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()
        g_loss = loss_fn(judge(fake), T.ones(batch, 1))
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        losses += [d_loss.item(), g_loss.item()]
    with T.no_grad():  # how far the mean fake is from the mean digit
        fakes = generator(T.randn(500, 16)).mean(0).numpy()
    return losses, float(np.abs(fakes - (x[:5000].mean(0).reshape(-1) * 2 - 1)).mean())


def triplets(T, steps, size):
    """A siamese embedding of MNIST by triplets; Adagrad."""
    nn = T.nn
    wide, batch = (32, 8) if size == "small" else (128, 32)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, wide), nn.ReLU(), nn.Linear(wide, 16))
    optimizer = T.optim.Adagrad(model.parameters(), lr=0.02)
    loss_fn = nn.TripletMarginLoss(margin=1.0)
    x, y = mnist()
    of_digit = [np.flatnonzero(y[:20_000] == d) for d in range(10)]
    rng = np.random.default_rng(3)
    losses = []
    for _ in range(steps):
        digits = np.array([rng.permutation(10)[:2] for _ in range(batch)])
        pick = [[rng.choice(of_digit[d]) for d in column]
                for column in (digits[:, 0], digits[:, 0], digits[:, 1])]
        a, p, n = (nn.functional.normalize(model(T.from_numpy(x[k]))) for k in pick)
        loss = loss_fn(a, p, n)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with T.no_grad():  # test pictures go to the nearest mean of training pictures
        e = nn.functional.normalize(model(T.from_numpy(x[:2000])))
        means = T.stack([e[T.from_numpy(y[:2000]) == d].mean(0) for d in range(10)])
        tx, ty = mnist(False)
        near = T.cdist(nn.functional.normalize(model(T.from_numpy(tx[:1000]))), means).argmin(1)
        return losses, (near == T.from_numpy(ty[:1000])).float().mean().item()


def ctc(T, steps, size):
    """Labels of noisy synthetic sequences without alignment: convolution, GRU and CTC; NAdam."""
    nn = T.nn
    wide, batch = (16, 8) if size == "small" else (48, 32)
    patterns = np.random.default_rng(0).standard_normal((6, 3, 8)).astype(np.float32)

    def drawn(rng, n):
        labels = [rng.integers(1, 6, rng.integers(2, 6)) for _ in range(n)]
        signal = rng.standard_normal((n, 24, 8)).astype(np.float32) * 0.3
        for row, word in zip(signal, labels):
            at = 0
            for k in word:
                at += rng.integers(0, 2)
                row[at : at + 3] += patterns[k]
                at += 3
        return signal, labels

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(8, wide, 3, padding=1)
            self.gru = nn.GRU(wide, wide, bidirectional=True)
            self.out = nn.Linear(2 * wide, 6)

        def forward(self, x):
            x = nn.functional.silu(self.conv(x.transpose(1, 2))).permute(2, 0, 1)
            return self.out(self.gru(x)[0]).log_softmax(-1)

    model = Model()
    optimizer = T.optim.NAdam(model.parameters(), lr=3e-3)
    loss_fn = nn.CTCLoss(zero_infinity=True)
    rng = np.random.default_rng(1)
    losses = []
    for _ in range(steps):
        signal, labels = drawn(rng, batch)
        loss = loss_fn(
            model(T.from_numpy(signal)), T.from_numpy(np.concatenate(labels)),
            T.full((batch,), 24), T.tensor([len(w) for w in labels]),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    signal, labels = drawn(np.random.default_rng(9), 200)
    with T.no_grad():
        best = model(T.from_numpy(signal)).argmax(-1).t().tolist()
    right = 0
    for row, word in zip(best, labels):
        read = [k for j, k in enumerate(row) if k and (not j or row[j - 1] != k)]
        right += read == word.tolist()
    return losses, right / 200


def lbfgs(T, steps, size):
    """Regularised logistic regression on MNIST in float64; L-BFGS with a line search."""
    nn = T.nn
    n = 400 if size == "small" else 4000
    x, y = mnist()
    inputs, labels = T.from_numpy(x[:n]).flatten(1).double(), T.from_numpy(y[:n])
    model = nn.Linear(784, 10).double()
    optimizer = T.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe", max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels) + 0.01 * model.weight.pow(2).sum()
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure)) for _ in range(min(steps, 60))]
    tx, ty = mnist(False)
    with T.no_grad():
        right = model(T.from_numpy(tx[:1000]).flatten(1).double()).argmax(1) == T.from_numpy(ty[:1000])
        return losses, right.double().mean().item()


def mixed_resnet(T, steps, size):
    """A small residual net on CIFAR-10 under bfloat16 autocast; cosine schedule, EMA of weights."""
    nn = T.nn
    wide, batch = (8, 16) if size == "small" else (16, 32)

    class Block(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)
            self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
            self.shortcut = nn.Conv2d(a, b, 1, stride, bias=False) if stride > 1 else nn.Identity()

        def forward(self, x):
            made = self.bn2(self.conv2(T.relu(self.bn1(self.conv1(x)))))
            return T.relu(made + self.shortcut(x))

    model = nn.Sequential(
        nn.Conv2d(3, wide, 3, 1, 1), nn.BatchNorm2d(wide), nn.ReLU(), Block(wide, wide, 1),
        Block(wide, 2 * wide, 2), Block(2 * wide, 4 * wide, 2), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4 * wide, 10),
    )
    optimizer = T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    schedule = T.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    average = T.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=T.optim.swa_utils.get_ema_multi_avg_fn(0.95), use_buffers=True
    )
    scaler = T.amp.GradScaler("cpu", init_scale=1024.0)
    x, y = cifar()
    losses = []
    for i in batches(len(x), batch, steps):
        optimizer.zero_grad()
        with T.autocast("cpu", dtype=T.bfloat16):
            loss = nn.functional.cross_entropy(model(T.from_numpy(x[i])), T.from_numpy(y[i]))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        average.update_parameters(model)
        losses.append(loss.item())
    n = 250 if size == "small" else 1000
    return losses, accuracy(T, average, *(a[:n] for a in cifar(False)))


# name: (loop, tolerance of the first 50 losses, quality's name, its slack). Batch normalisation of
# small batches makes rounding grow: PyTorch's own losses differ by 1e-2 with oneDNN and without.
LOOPS = {
    "CNN on CIFAR-10": (cnn, 5e-2, "accuracy", 0.03),
    "LSTM language model": (language_model, 1e-4, "validation loss", 0.02),
    "GRU classifier of surnames": (gru_classifier, 1e-4, "accuracy", 0.03),
    "Transformer translation": (translation, 1e-3, "validation loss", 0.03),
    "autoencoder on MNIST": (autoencoder, 1e-3, "test error", 0.003),
    "GAN on MNIST": (gan, 1e-3, "distance of means", 0.05),
    "triplets on MNIST": (triplets, 1e-3, "accuracy", 0.03),
    "CTC on sequences": (ctc, 1e-3, "exact words", 0.05),
    "L-BFGS regression": (lbfgs, 1e-5, "accuracy", 0.01),
    "mixed-precision ResNet": (mixed_resnet, 5e-2, "accuracy", 0.05),
}


def run(T, name: str, steps: int, size: str, seed: int = 1):
    """(losses, quality) of a loop from a seed."""
    T.manual_seed(seed)
    losses, quality = LOOPS[name][0](T, steps, size)
    return np.array(losses), float(quality)


def deviation(ours, theirs) -> float:
    """The largest difference of two loss curves, relative to the losses."""
    return float(np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1e-3)))
