"""Which operators become native code, measured: `make lowering` writes `docs/lowering.tsv`, which `support.py` reads.

Samples of PyTorch's database of operators, of its modules and all optimisers run until they are compiled, with
gradients; each operator of a compiled program was either lowered or stayed in tier 0, for a reason. (Needs PyTorch.)
"""

from __future__ import annotations

import collections
import contextlib
import functools
import sys
import warnings
from pathlib import Path

import rushlight
from rushlight.compile import background, native
from rushlight.interpret import program as tier0_program
from rushlight.trace import trie

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))
SAMPLES = {"float32": 8, "bfloat16": 2, "int64": 3, "bool": 1, "complex64": 2}  # of an operator, by dtype


class Measured:
    """How often each operator was lowered, and how often it stayed in tier 0, by reason."""

    def __init__(self) -> None:
        self.lowered: collections.Counter = collections.Counter()
        self.stayed: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)

    def steps_of(self, plan):
        """`plan` (the compiler's `steps_of`), watched."""

        def planned(*args):
            steps, guards = plan(*args)
            for s in steps:
                for i in s.instructions:
                    if i.node.op is None:
                        continue
                    if s.why is None:
                        self.lowered[i.node.op.name] += 1
                    else:
                        self.stayed[i.node.op.name][s.why] += 1
            return steps, guards

        return planned

    def lines(self) -> list[str]:
        """operator, whether it was ever lowered, the reasons for tier 0 (sorted: counts depend on the machine)."""
        names = sorted({*self.lowered, *self.stayed})
        return ["\t".join([n, "native" if self.lowered[n] else "", *sorted(map(one_line, self.stayed[n]))]) for n in names]


def one_line(reason: str) -> str:
    """A reason as a field of the table."""
    return " ".join(reason.split())[:80].replace("|", "/")


def ours(x, grads: bool):
    """PyTorch's tensors in a tree as Rushlight's."""
    import torch

    if isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj().resolve_neg()
        name = str(x.dtype).split(".")[-1]
        t = rushlight.tensor(x.tolist(), dtype=getattr(rushlight, name)).reshape(tuple(x.shape))
        return t.requires_grad_() if grads and (t.is_floating_point() or t.is_complex()) else t
    if isinstance(x, dict):
        return {k: ours(v, grads) for k, v in x.items()}
    if type(x) in (list, tuple):
        return type(x)(ours(e, grads) for e in x)
    if isinstance(x, (torch.dtype, torch.memory_format, torch.layout)):
        return getattr(rushlight, str(x).split(".")[-1])
    return tuple(x) if isinstance(x, torch.Size) else x


def until_native(f) -> None:
    """Call f() and read what it gives, until it is native; what raises is no sample."""
    from fuzz_database import RUNS, tensors

    trie.forget()
    with contextlib.suppress(Exception):
        for _ in range(RUNS):
            made = tensors(rushlight, f())
            wanted = [t for t in made if t.requires_grad and t.numel()]
            if wanted:
                sum((rushlight.view_as_real(t) if t.is_complex() else t).float().sum() for t in wanted).backward()
            for t in made:
                t.detach().tolist()


def operators() -> None:
    """Samples of all operators."""
    import fuzz_database as database

    space = dict(database.space(rushlight), T=rushlight)
    for at, o in enumerate(database.operators()):
        try:
            f = eval(database.called(at), space)
        except AttributeError:  # (of a name that is not there)
            continue
        for dtype, most in SAMPLES.items():
            if getattr(__import__("torch"), dtype) not in o.dtypes:
                continue
            for args, kwargs in database.samples(at, dtype)[:most]:
                with contextlib.suppress(Exception):
                    args, kwargs = ours(args, o.supports_autograd), ours(kwargs, o.supports_autograd)
                    until_native(functools.partial(f, *args, **kwargs))


def modules() -> None:
    """Samples of all modules."""
    import torch
    from torch.testing._internal.common_modules import module_db

    for m in module_db:
        name = m.module_cls.__name__
        made = []
        with contextlib.suppress(Exception):
            made = m.module_inputs_func(m, device="cpu", dtype=torch.float32, requires_grad=False, training=True)
        for s in made[:4]:
            with contextlib.suppress(Exception):
                c, f = s.constructor_input, s.forward_input
                net = getattr(rushlight.nn, name)(*ours(c.args, False), **ours(c.kwargs, False))
                args, kwargs = ours(f.args, False), ours(f.kwargs, False)
                until_native(lambda net=net, args=args, kwargs=kwargs: net(*args, **kwargs))


def optimizers() -> None:
    """A few steps of all optimisers."""
    for name in sorted(rushlight.optim.__all__):
        kind = getattr(rushlight.optim, name)
        if not isinstance(kind, type) or name in ("Optimizer", "SparseAdam", "LBFGS"):
            continue
        for more in ({}, {"weight_decay": 0.1}, {"momentum": 0.9}, {"amsgrad": True}):
            with contextlib.suppress(Exception):
                net = rushlight.nn.Linear(4, 3)
                optimizer = kind(net.parameters(), lr=0.1, **more)
                trie.forget()
                for _ in range(6):
                    optimizer.zero_grad()
                    net(rushlight.ones(2, 4)).square().sum().backward()
                    optimizer.step()


FURTHER = """
    T.unfold_copy(x, 0, 2, 1) | F.unfold(x[None, None], 2) | F.fold(F.unfold(x[None, None], 2), (4, 4), 2) | T.randperm(4) + 0 | T.poisson(x.abs())
    F.max_unpool1d(*F.max_pool1d(x[None], 2, return_indices=True), 2) | T.binomial(x.abs() + 3, x.sigmoid()) | T.take(x, i) | x.put(i, x[0])
    T.distributions.Gamma(x.exp(), 1.0).rsample() | T.distributions.Dirichlet(x.exp()).rsample() | T.distributions.Beta(x.exp(), 1.0).rsample()
    T.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255) | T.nn.utils.rnn.pad_sequence([x, x[:2]]) | F.cross_entropy(x, i % 4) | T.bincount(i)
    F.embedding_bag(i[None] % 4, x, mode='max') | F.embedding_bag(i[None] % 4, x) | T.randint(0, 5, (4,)) * 2 | x.index_put((i % 4,), x) | x.view(T.int32) + 1
    T.fft.fftfreq(4) + 0 | T.full_like(x.detach().t(), 2.0) | T.zeros(4).long().random_() | T.randint(0, 2**40, (4,)) | T.zeros(4).to(T.uint8).random_()
    F.embedding_bag(i[None] % 4, x, mode='sum', per_sample_weights=x[:1]) | T.stft(x.reshape(-1), 4, return_complex=True).abs()
    x.clone().index_put_((i % 4,), x.detach()) | T.as_strided(x, (2, 2), (1, 2)) * 2 | x.t().contiguous().view(2, 8) * 2 | T.nn.utils.rnn.pad_packed_sequence(
    T.nn.utils.rnn.pack_padded_sequence(x[None], T.tensor([4]), batch_first=True))[0]"""


def further() -> None:
    """What the databases leave out."""
    x = rushlight.arange(16.0).sub(5).div(7).reshape(4, 4).requires_grad_()
    i = rushlight.tensor([3, 0, 2, 1])
    for line in FURTHER.replace("pad_packed_sequence(\n    ", "pad_packed_sequence(").split("\n"):
        for text in line.strip().split(" | "):
            if text:
                until_native(lambda text=text: eval(text, {"T": rushlight, "F": rushlight.nn.functional, "x": x, "i": i}))


def main() -> None:
    warnings.simplefilter("ignore")
    measured = Measured()
    native.steps_of = measured.steps_of(native.steps_of)
    background.MODE, tier0_program.COST = "now", 0.0
    for part in (operators, modules, optimizers, further):
        part()
    (HERE / "lowering.tsv").write_text("\n".join(measured.lines()) + "\n")


if __name__ == "__main__":
    main()
