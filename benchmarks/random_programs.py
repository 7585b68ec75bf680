"""Random programs that run in PyTorch and in Rushlight: drawing them, running them, comparing what they leave.

A program is Python text over `T` (the framework), drawn line by line: a line that PyTorch refuses is dropped, or
kept as an error to be raised alike. It computes on floating-point, integer and boolean tensors of few shapes (empty
ones, none, broadcast), makes and writes views, branches and loops on values, differentiates, or trains a
small network. Which numbers it computes with is a parameter, so that branches go different ways in different runs.
"""

from __future__ import annotations

import random

import numpy as np

TOLERANCE = {"float64": 1e-7, "float32": 1e-3, "bfloat16": 0.15}  # of an array's largest element, and of 1
LARGEST = 100.0  # lines whose results are larger are dropped: differences of large numbers are all rounding

# {f}: a floating-point tensor ({s}: the same one again), {i}: an integer one, {b}: a mask, {r}: the main dtype, {d}: a dimension
LINES = {
    "f": """
        {f} * {f} * 0.5 | {f} + {f} | {f} - {f} * 0.25 | {f} / ({f} * {f} + 1.5) | {f} * {i} * 0.1 | 0.75 - {f}
        T.tanh({f}) | T.sigmoid({f}) | (0.1 * {f}).exp() | ({f} * {f} + 0.5).sqrt() | {f}.sin() | F.gelu({f})
        F.softplus({f}) | T.log1p({f} * {f}) | {f}.relu() | {f}.abs() | {f}.clamp(-0.9, 0.8) | F.silu({f})
        T.maximum({f}, {f}) | T.where({b}, {f}, {f}) | {f}.masked_fill({b}, 0.25) | T.lerp({f}, {f}, 0.3)
        {f}.sum({d}) * 0.2 | {f}.mean({d}, keepdim=True) | {f}.sum() * 0.1 | {f}.amax({d}) | {f}.var({d})
        {f}.cumsum({d}) * 0.2 | {f}.norm() | {f}.logsumexp({d}) | {f}.prod({d}) | {f}.std()
        F.softmax({f}, -1) | F.log_softmax({f}, {d}) * 0.2 | F.layer_norm({f}, {f}.shape[-1:], eps=0.1)
        {f} @ {f} * 0.1 | T.outer({f}, {f}) | T.einsum('ij,kj->ik', {s}, {s}) * 0.1 | F.linear({f}, {f}) * 0.1
        T.cat([{f}, {f}], {d}) | T.stack([{f}, {f}]) | {f}.flip({d}) | {f}.roll(1, {d}) | F.pad({f}, (1, 2))
        {s}.index_select(0, {i}.reshape(-1) % {s}.shape[0]) | {s}[{i} % {s}.shape[0]] | {f}[{b}] | {s}.take({i} % {s}.numel()) | {f}.tril()
        {s}.gather(-1, {i} % {s}.shape[-1]) | T.zeros_like({s}).index_add(0, {i}.reshape(-1) % {s}.shape[0], {s}) | {f}.sort({d})[0]
        {f}[0] | {f}[1:] | {f}[..., ::2] | {f}.T | {f}.transpose(0, -1) | {f}.reshape(-1) | {f}.unsqueeze({d})
        {f}.expand(2, *{f}.shape) | {f}.diagonal() | {f}.clone() | {f}.detach() | {f}.contiguous() | {f}.squeeze()
        {f}.narrow({d}, 0, 1) | {f}.split(2, {d})[0].clone() | {f}.unbind({d})[-1] * 2.0 | {f}.to(T.float64) | {f}.to({r})
        {i}.to({r}) * 0.1 | {b}.to({r}) | T.full_like({f}, 0.5) | T.ones(3, 1, dtype={r}) | T.arange(4, dtype={r}) * 0.3
        {f}.unfold(0, 2, 1).clone() | {f}.repeat(2, 1) * 0.5 | F.embedding({i} % {s}.shape[0], {s}) | T.zeros(0, dtype={r}) | {f}.mT
        F.mse_loss({f}.clone(), {f}.clone()) | F.cross_entropy({s}, {i}.reshape(-1) % {s}.shape[-1]) | F.conv1d({f}, {f}[:, :, :2]) * 0.2
        T.rand(3, generator=G, dtype={r}) | T.addcmul({f}, {f}, {f}, value=0.2) | {f}.new_zeros(2, 3) | T.dot({f}, {f}) * 0.1
        T.atan2({f}, {f} * {f} + 1.0) | {f}.remainder(1.7) | T.hypot({f}, {f} + 2.0) | {f}.nan_to_num() | {f}.cummax(0)[0]""",
    "i": """
        {i} + {i} | {i} * 3 - {i} | {i} // 3 | {i} % ({i}.abs() + 1) | {i} & 7 | {i} ^ {i} | {i}.sum({d}) % 11 | {i}[1:]
        {i}.cumsum({d}) % 13 | {i}.T | {i}.max() | {i}.sort(dim={d}, stable=True)[1] | {b}.sum({d}) | {i}.unsqueeze(0) | {i}.reshape(-1)
        {i}.argmax({d}) | {b}.long() * 2 | {f}.argmax({d}) | (4.0 * {f}).floor().long() | {b}.nonzero() | {i}.abs() >> 1
        T.arange(4) | T.tensor({f}.shape) | {i}.clamp(-3, 5) | T.where({b}, {i}, 2) | {i}.unique() | {i}.clone()""",
    "b": """
        {f} > 0.3 | {f} <= {f} | {i} == {i} | {i} % 2 == 0 | ~{b} | {b} & {b} | {b}.logical_or({i} > 2) | {b}.any({d}) | {b}.T | {f} != {f}
        {b}.all() | {f}.isfinite() | {i}.bool() | {b}[..., :1] | {b}.logical_xor({b}) | {i} < {f}""",
    "write": """
        {f}.add_({f}, alpha=0.1) | {f}.mul_(0.5) | {f}[0] = {f}.detach().mean() | {f}[1:] *= 0.5 | {f}.sub_({f} * 0.1)
        {f}.tanh_() | {f}.clamp_(-1, 1) | {i}.add_(1) | {i}[0] = 3 | {b}[..., 0] = True | {f}[{b}] = 0.125 | {i}.copy_({i})
        {f}[..., 0] += {f}.sum() * 0.1 | {f}.data.copy_({f}.detach() * 0.5) | {f}.data[1:].fill_(0.75) | {f}.data.zero_()
        {i}.fill_(4) | {f}.data.mul_({f}.detach() * 0.5)""",
    "flow": """
        if {s}.sum() > 0.0123: {s} = {s} * 2.0 - 0.1 | if {b}.any(): {s} = {s}.detach() | for row in {f}: {s} = {s} + row.mean()
        for k in range(min(6, int({s}.detach().abs().sum() / 4.0))): {s} = {s} * 0.6 | {f} = {s} * {s}.detach().mean().item()
        for k in range(int({i}.sum() % 4)): {s} = {s} * 0.5 + 0.1 | if {i}.numel() and {i}.max() > 9: {s} = -{s}
        seen.append({f}.detach().to(T.float64).numpy().copy()) | {s} = {s} + len({b}.nonzero()) * 0.1 | del {f}
        {s} = T.tensor({s}.tolist(), dtype={s}.dtype) | seen.append(str({i})) | {s} = {s} if {s}.mean().item() > 0.1 else {s}.clone()""",
    "grad": """
        ({f} * {f}).sum().mul(0.1).backward() | {f}.mean().backward() | ({f}.sum() + {f}.sum() * 0.5).backward()
        g = T.autograd.grad(({f} * {f}).sum(), [x0, x1], create_graph=True, allow_unused=True); seen.extend(g); (g[0] * g[0]).sum().mul(0.1).backward()""",
}
LINES = {kind: [p for line in text.splitlines() for p in line.strip().split(" | ") if p] for kind, text in LINES.items()}
# Where results jump. In bfloat16, whose rounding is visible, programs do without.
JUMPS = ("> 0", "<=", "<", "!=", "arg", "floor", "sort", "remainder", "if {s}", "/ 4.0", "max(", "relu", "abs", "clamp", "unique")
LAYERS = """Linear({a}, {c}) | Linear({a}, {c}, bias=False) | Tanh() | ReLU() | GELU() | LayerNorm({a}) | Sigmoid() | Softmax(-1)
    BatchNorm1d({a}) | Identity() | ELU() | RMSNorm({a}) | Unflatten(1, (1, {a})), nn.Conv1d(1, 2, 3, padding=1), nn.MaxPool1d(2), nn.Flatten()
    Unflatten(1, (1, {a})), nn.MultiheadAttention({a}, 1, batch_first=True) | Unflatten(1, (1, {a})), nn.LSTM({a}, 3, batch_first=True)"""
LAYERS = [p.strip() for line in LAYERS.splitlines() for p in line.split(" | ")]
OPTIMIZERS = """SGD(net.parameters(), lr=0.05) | SGD(net.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.01)
    Adam(net.parameters(), lr=0.01, eps=1e-2) | AdamW(net.parameters(), lr=0.01, eps=1e-2) | RMSprop(net.parameters(), lr=0.01, eps=1e-2)
    Adagrad(net.parameters(), lr=0.02, eps=1e-2)"""
OPTIMIZERS = [p.strip() for line in OPTIMIZERS.splitlines() for p in line.split(" | ")]


def data(T, shape, dtype, seed):
    """Fixed numbers: between -2 and 2, or integers from -5 to 20, or a mask."""
    r = np.random.default_rng(seed)
    if dtype is T.int64:
        return T.from_numpy(np.asarray(r.integers(-5, 21, shape)))
    x = T.from_numpy(np.asarray(r.uniform(-2, 2, shape)))
    return x > 0.2 if dtype is T.bool else x.to(dtype)


def fill(T, module, dtype, seed):
    """Fixed parameters for a module."""
    module = module.to(dtype)
    with T.no_grad():
        for p in module.parameters():
            seed += 1
            p.copy_(data(T, tuple(p.shape), dtype, seed) * 0.4)
    return module


class Program:
    """A text that defines what is seen: values by name, and `seen`. `precision` is its coarsest dtype."""

    def __init__(self, seed: int, lines: list[str], precision: str):
        self.seed, self.lines, self.precision = seed, lines, precision
        self.expected: dict = {}  # by number of the data

    def run(self, T, number: int) -> dict:
        """NumPy values of all that the program leaves, or the error that it raised."""
        space = {"T": T, "nn": T.nn, "F": T.nn.functional, "data": data, "fill": fill, "n": 1000 * number, "seen": []}
        try:
            with np.errstate(all="ignore"):
                exec("\n".join(self.lines), space)
            return outcome(T, space)
        except Exception as e:  # the programs' own errors too: the other framework has to raise them alike
            return {"error": e}

    def wanted(self, number: int) -> dict:
        """PyTorch's values."""
        if number not in self.expected:
            import torch

            self.expected[number] = self.run(torch, number)
        return self.expected[number]

    def differs(self, number: int) -> str:
        """What Rushlight gives otherwise; "" if nothing."""
        import rushlight

        wanted = self.wanted(number)
        return compare(self.run(rushlight, number), wanted, TOLERANCE[self.precision])

    def __str__(self) -> str:
        return "\n".join([f"# seed {self.seed}, {self.precision}: run(torch) and run(rushlight) differ", "def run(T, n=0):",
                          "    nn, F, seen = T.nn, T.nn.functional, []", *("    " + x.replace("\n", "\n    ") for x in self.lines),
                          "    return locals()"])


def outcome(T, space: dict) -> dict:
    """{name: array, text or number} of a namespace: tensors, their gradients, modules' parameters."""
    found = {}
    for name, x in list(space.items()) + [(f"seen[{j}]", x) for j, x in enumerate(space["seen"])]:
        if name == "row":  # an output of unbind, which PyTorch refuses to show once its base was written
            continue
        if isinstance(x, T.nn.Module):
            found.update((f"{name}.{k}", array(T, v)) for k, v in x.state_dict().items())
        elif isinstance(x, T.Tensor):
            found[name] = array(T, x)
            found[f"{name} dtype"] = str(x.dtype).split(".")[-1]
            if x.requires_grad and x.is_leaf:  # what was overwritten passes no gradient, or zeros
                found[f"{name}.grad"] = np.zeros(x.shape) if x.grad is None else array(T, x.grad)
        elif isinstance(x, np.ndarray | str):
            found[name] = x
    return found


def array(T, x) -> np.ndarray:
    return (x.detach().to(T.float64) if x.dtype is T.bfloat16 else x.detach()).numpy().copy()


def compare(found: dict, wanted: dict, tolerance: float) -> str:
    """The first difference of two outcomes as text; "" if there is none."""
    if "error" in found or "error" in wanted:
        a, b = (x.get("error") for x in (found, wanted))
        if "ZeroTensor" in str(b):  # a gradient of zeros that PyTorch gave no memory, and refuses to show
            return ""
        return "" if b is not None and isinstance(a, type(b)) else f"error {a!r}, not {b!r}"
    for name in [*wanted, *found]:
        a, b = found.get(name), wanted.get(name)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            finite = np.abs(b[np.isfinite(b)].astype(float)) if b.dtype.kind == "f" else np.zeros(1)
            most = tolerance * (1 + finite.max(initial=0))
            same = a.shape == b.shape and (np.allclose(a, b, 0, most, equal_nan=True) if b.dtype.kind == "f"
                                           else np.array_equal(a, b))
        else:
            same = type(a) is type(b) and a == b
        if not same:
            return f"{name} is {a!r}, not {b!r}"
    return ""


def draw(seed: int) -> Program:
    """A random program that PyTorch runs, with up to 25 lines."""
    import torch

    r = random.Random(seed)
    precision = r.choice(["float64", "float32", "float32", "bfloat16"])
    lines: list[str] = []
    space: dict = {"T": torch, "nn": torch.nn, "F": torch.nn.functional, "data": data, "fill": fill, "n": 0, "seen": []}

    def line(text: str) -> bool:
        """Keep a line if it runs and leaves numbers of moderate size."""
        new = text.split(" = ")[0]
        try:
            exec(text, space)
        except Exception as e:
            if r.random() < 0.98 or "ZeroTensor" in str(e) or text.startswith(("if", "for", "while")) or "_(" in text or "] =" in text or "backward" in text:
                return False  # (PyTorch's own tensors of no memory refuse what other tensors do not)
            forget = f"; {new} = None" if new.isidentifier() else ""  # (where errors come later, it is bound)
            text = f"try: {text}; str({new})\nexcept Exception as e: seen.append('refused'){forget}"
        x = space.get(new)
        if isinstance(x, torch.Tensor) and (x.numel() > 5000 or (x.is_floating_point() and x.numel()
                                                                  and not x.detach().abs().max() < LARGEST)):
            del space[new]  # no later line may use it
            return False
        lines.append(text)
        return True

    if r.random() < 0.2:
        training(r, line, precision if precision != "bfloat16" else "float32")
        return Program(seed, lines, precision)
    sizes = r.choices([1, 2, 3, 4, 5, 8, 17, 33], k=2)
    line("G = T.Generator(); _ = G.manual_seed(n)")
    shapes = [(), (sizes[0],), (sizes[1],), tuple(sizes), tuple(sizes), (1, sizes[1]), (sizes[0], 1), (2, *sizes), (0, sizes[1])]
    for j in range(7):
        kind = f"T.{precision}" if j < 4 else "T.int64" if j < 6 else "T.bool"
        line(f"x{j} = data(T, {r.choice(shapes)}, {kind}, n + {j})" + (".requires_grad_()" if j < 2 else ""))
    for j in range(7, r.randint(10, 32)):
        kind = r.choices(["f", "i", "b", "write", "flow", "grad"], [20, 2, 2, 4, 2, 1])[0]
        for _ in range(8):  # tries, until PyTorch takes one
            pattern = r.choice(LINES[kind])
            if precision == "bfloat16" and ("{f}" in pattern or "{s}" in pattern) and any(x in pattern for x in JUMPS):
                continue
            text = pick(r, pattern, space, precision)
            if line(f"x{j} = {text}" if kind in "fib" else text):
                break
    return Program(seed, lines, precision)


def pick(r: random.Random, pattern: str, space: dict, precision: str) -> str:
    """A pattern with names put in, the youngest more often."""
    kinds: dict = {"f": [], "i": [], "b": []}
    for name, x in space.items():
        if name[0] == "x" and hasattr(x, "is_floating_point"):
            kinds["f" if x.is_floating_point() else "b" if x.dtype is space["T"].bool else "i"].append(name)
    pattern = pattern.replace("{s}", r.choice(kinds["f"] or ["x0"]))
    for kind, names in kinds.items():
        while "{" + kind + "}" in pattern:
            at = len(names) - 1 - int(len(names) * r.random() ** 1.6)
            pattern = pattern.replace("{" + kind + "}", names[at] if names else "x9", 1)
    return pattern.replace("{d}", str(r.choice([0, -1, 1]))).replace("{r}", f"T.{precision}")


def training(r: random.Random, line, precision: str) -> None:
    """A small network with random layers, trained for a few steps."""
    a = first = r.choice([2, 4, 6, 9])
    batch, layers = r.choice([1, 3, 8]), [f"nn.Linear({a}, {a})"]
    for _ in range(r.randint(1, 5)):
        c = r.choice([2, 4, 8, 12])
        layer = r.choice(LAYERS).format(a=a, c=c)
        if ("LSTM" in layer or "Attention" in layer) and not layers:
            layers.append(f"nn.{layer}")
            break
        if "LSTM" not in layer and "Attention" not in layer:
            layers.append(f"nn.{layer}")
            a = c if layer.startswith("Linear") else a // 2 * 2 if "Conv" in layer else a
    net = f"net = fill(T, nn.Sequential({', '.join(layers)}), T.{precision}, n)"
    last = "y = y[0] if isinstance(y, tuple) else y"
    step = (f"for k in range({r.randint(2, 6)}):\n    opt.zero_grad()\n"
            f"    y = net(data(T, ({batch}, {first}), T.{precision}, n + k)); {last}\n"
            f"    loss = {r.choice(['(y * y).mean()', 'F.smooth_l1_loss(y, y.detach() * 0.5 + 0.1)', 'y.flatten(1).logsumexp(1).mean()'])}\n"
            "    loss.backward()\n    " + r.choice(["", "T.nn.utils.clip_grad_norm_(net.parameters(), 1.0)\n    "])
            + "opt.step()" + r.choice(["", "; sched.step()", "; seen.append(f'{loss.item():.1f}'[:0])"]))
    if line(net) and line(f"opt = T.optim.{r.choice(OPTIMIZERS)}") and line("sched = T.optim.lr_scheduler.ExponentialLR(opt, 0.9)"):
        line(step)
