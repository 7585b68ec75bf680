"""Programs that differ only in sizes share native forms, which are what each would have got for itself."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.compile import background, native, steps, templates
from rushlight.compile.expressions import Constant, owned
from rushlight.compile.kernels.call import Address, Loop, Workspace
from rushlight.interpret import program as tier0_program
from rushlight.trace import flush, trie


def shown(planned):
    """Steps as values that compare: memory by what it is, or the order in which it is met."""
    known: dict = {}

    def buffer(b):
        b = owned(b)
        if isinstance(b, Constant):
            return b.array.tobytes()
        return b if hasattr(b, "op") else known.setdefault(b, (len(known), b.nbytes))

    def word(w):
        if isinstance(w, Address):
            return buffer(w.buffer), w.offset
        return buffer(w) if isinstance(w, Workspace) else (type(w), w)

    def call(c):
        if isinstance(c, Loop):
            return c.times, c.moves, [call(x) for x in c.calls]
        return c.function, [word(w) for w in c.words], c.chunks, bool(c.parallel), str(c.label), c.flops, c.nbytes

    return [(s.instructions, s.why, [call(c) for c in s.calls]) for s in planned]


def blocks(made):
    """What the launches of a native form read, less addresses."""
    found = []
    for plan, table, owners in made.plans.values():
        at = next(i for i, x in enumerate(made.held) if x is plan)
        words, _, arrays, numbers = (x.copy() for x in made.held[at - 4 : at])
        base = made.held[at - 4].ctypes.data
        places = np.array([], np.int64)
        checked = table[table[:, 4] != 0, 4]
        words[np.isin(words, checked)] = 0  # of the word that notes errors
        arrays[:, 2] -= base
        numbers[:, 1] -= base
        places = np.concatenate([(arrays[:, 2]), numbers[:, 1]]) // 8
        words[places] = 0
        rows = table - np.array([0, base, 0, 0, 0])
        rows[:, 4] = rows[:, 4] != 0
        found += [plan[2:3], words, arrays, numbers, rows, np.array(owners)]
    return found


@pytest.fixture
def shared(monkeypatch):
    """Programs are compiled at once; each shared form is compared with the program's own.

    The list of how many steps each has.
    """
    found = []
    original = templates.Template.member

    def checked(self, made, scalars):
        member = original(self, made, scalars)
        if member is not None:
            p = made.program
            mine, results = self.steps(made), (*p.wanted, *p.saved)
            own, conditions = steps.steps_of(p, scalars, results, lambda: None)
            assert shown(mine) == shown(own) and self.conditions == conditions
            copied, laid_out = native.member(p, member), native._assembled(p, own, conditions, results)
            assert copied.source == laid_out.source and copied.arrays == laid_out.arrays
            for a, b in zip(blocks(copied), blocks(laid_out), strict=True):
                np.testing.assert_array_equal(a, b)
            assert [s.label for s in copied.steps] == [s.label for s in mine]
            assert all(copied.calls_of(k) for k in copied.plans)
            found.append(len(mine))
        return member

    trie.forget()
    templates._families.clear()
    monkeypatch.setattr(templates.Template, "member", checked)
    monkeypatch.setattr(background, "MODE", "now")
    monkeypatch.setenv("RUSHLIGHT_STRICT", "1")
    monkeypatch.setattr(tier0_program, "COST", 0.0)
    yield found
    templates._families.clear()
    trie.forget()


def run(function, lengths, times=tier0_program.HOT_AFTER + 2):
    """The values for each length, the last of several runs."""
    made = []
    for n in lengths:
        for _ in range(times):
            values = [np.array(x.detach().numpy()) for x in function(n)]
            flush()
        made.append(values)
    return made


def classifier():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    words, body, out = nn.Embedding(20, 16), nn.TransformerEncoder(layer, 1), nn.Linear(16, 3)

    def step(n):
        x = torch.arange(3 * n).reshape(3, n) % 20
        loss = nn.functional.cross_entropy(out(body(words(x)).mean(1)), torch.tensor([0, 1, 2]))
        weights = [words.weight, out.weight, *body.parameters()]
        return loss, *torch.autograd.grad(loss, weights)

    return step


def cached_attention():
    torch.manual_seed(0)
    keys = [torch.randn(2, n, 8) for n in range(40)]

    def step(n):
        k = torch.cat([keys[n], torch.ones(2, 1, 8)], 1)
        scores = torch.softmax(torch.ones(2, 1, 8) @ k.transpose(1, 2) / 8**0.5, -1)
        return scores @ k, k[:, -1], k.sum(1).argmax(-1)

    return step


def elementwise():
    def step(n):
        x = torch.arange(n, dtype=torch.float32)
        y = (x * 2 + 1).tanh()
        return y.mean(), y.var(), y.softmax(0), y.cumsum(0), y.sort().values, torch.stack([y, x]) @ y[:, None]

    return step


def convolutions():
    torch.manual_seed(0)
    one, two = nn.Conv1d(3, 8, 3, padding=1), nn.Conv1d(8, 8, 3, groups=2)

    def step(n):
        y = two(one(torch.ones(2, 3, n + 3)).relu())
        loss = y.square().mean()
        return loss, *torch.autograd.grad(loss, [one.weight, two.weight])

    return step


def written_in_place():
    def step(n):
        x = torch.zeros(n, 4)
        x[1:, 2] = 3.0
        x[:, 0].add_(torch.arange(n))
        x[-1] *= 2
        return x, x.max(0).values

    return step


def recurrent():
    torch.manual_seed(0)
    lstm, gru = nn.LSTM(4, 8, 2, batch_first=True, bidirectional=True), nn.GRU(16, 8)

    def step(n):
        x, _ = lstm(torch.arange(3 * n * 4).reshape(3, n, 4) % 7 / 7)
        y, last = gru(x)
        loss = y.square().mean() + last.sum()
        return loss, *torch.autograd.grad(loss, [*lstm.parameters(), *gru.parameters()])

    return step


@pytest.mark.parametrize("make", [classifier, cached_attention, elementwise, convolutions, written_in_place, recurrent])
def test_shared_forms_are_each_programs_own(make, shared):
    lengths = [5, 9, 13, 14, 21, 30, 33, 7]
    found = run(make(), lengths)
    assert shared, "nothing was shared"
    background.MODE = "never"
    trie.forget()
    for n, mine, wanted in zip(lengths, found, run(make(), lengths, 1), strict=True):
        for a, b in zip(mine, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6, err_msg=f"length {n}")


def test_random_lengths_need_a_handful_of_forms(shared):
    step = classifier()
    for n in np.random.default_rng(0).integers(3, 200, 30):
        run(step, [int(n)], 2)
    flush()
    forms = [len(f.templates) for f in templates._families.values()]
    assert len(shared) >= 15 and 1 <= max(forms) <= 12, forms


def test_what_is_new_is_deferred_and_native_once_lengths_are_seen_to_change(shared):
    step = classifier()
    for n in range(3, 15):
        run(step, [n], 1)
    before, flushes = len(shared), trie.Stats.flushes
    made = run(step, [40], 1)[0]  # never seen
    assert len(shared) > before and trie.Stats.flushes > flushes
    background.MODE = "never"
    trie.forget()
    for a, b in zip(made, run(step, [40], 1)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_a_family_that_cannot_be_planned_with_sizes_is_left_alone(shared, monkeypatch):
    def refuse(self, *given):
        raise templates.Unsuitable("for a test")

    monkeypatch.setattr(templates.Template, "__init__", refuse)
    found = run(elementwise(), [5, 9, 12])
    assert not shared and len(found) == 3
    assert any(f.hopeless for f in templates._families.values())


def test_numbers_that_take_other_branches_are_not_shared(shared):
    def step(n, power):
        return (torch.arange(n, dtype=torch.float32) ** power).sum(), torch.ones(n) * power + torch.ones(n).exp().log().tanh()

    for n, power in ((5, 2.0), (6, 2.0), (7, 2.0), (8, 3.0), (9, 0.5)):
        a, _ = run(lambda n, power=power: step(n, power), [n])[0]
        np.testing.assert_allclose(a, (np.arange(n, dtype=np.float32) ** power).sum(), rtol=1e-5)


def test_packed_sequences_have_no_family(shared):
    """The lengths of a batch are data: no other batch has them, and a form made for them would serve nobody."""
    gru = nn.GRU(4, 8, batch_first=True)

    def step(n):
        lengths = torch.tensor([12 + n, 11, 9, 7, 5, 2])
        packed = nn.utils.rnn.pack_padded_sequence(torch.ones(6, 12 + n, 4), lengths, batch_first=True)
        return (gru(packed)[1].sum(),)

    run(step, range(6), 2)
    assert not shared
    assert not any(f.templates for f in templates._families.values())


def test_a_family_whose_members_find_no_form_gets_them_more_and_more_seldom():
    family = templates.Family()
    program = tier0_program.Program([], (), ())
    program.instructions = [None] * 10
    program.family, family.runs = family, 10
    family.spent = 1.5 * tier0_program.SHARED * tier0_program.COST * 10
    assert program._in_a_large_family
    family.price = 2.0
    assert not program._in_a_large_family
    family.spent *= 2
    assert program._in_a_large_family
    family.hopeless = True
    assert not program._in_a_large_family
