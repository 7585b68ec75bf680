"""Translation: it learns in seconds; beams, padding and BLEU are right."""

import math

import pytest

import rushlight


@pytest.fixture
def program(load):
    return load("translation")


def test_learns(example, real):
    made = example("translation", "--quick", real=real)
    first, last = made["history"][0], made["history"][-1]
    assert last["val_loss"] < 0.7 * first["val_loss"]
    assert made["result"]["bleu"] > 3
    assert (example.folder / "run" / "curves.png").exists()


def test_interrupted_and_resumed_gives_the_same_numbers(example):
    options = ["--quick", "--epochs", "3", "--deterministic"]
    whole = example("translation", *options, out="whole")
    example.interrupted("translation", *options, out="parts", after="epoch 1")
    parts = example("translation", *options, out="parts")
    assert [h["val_loss"] for h in parts["history"]] == [h["val_loss"] for h in whole["history"]]


def small(program):
    rushlight.manual_seed(0)
    return program.Translator(12, width=16, heads=2, layers=1, hidden=16, dropout=0.0).eval()


def probability(program, model, source, words):
    """log P of a translation with its end, word by word."""
    given = rushlight.tensor([[program.BOS, *words]])
    wanted = [*words, program.EOS]
    with rushlight.no_grad():
        logp = model(source, given).log_softmax(-1)[0]
    return sum(logp[i, w].item() for i, w in enumerate(wanted))


def test_padding_changes_nothing(program):
    model = small(program)
    alone = program.padded([[5, 6, program.EOS]])
    together = program.padded([[5, 6, program.EOS], [7, 8, 9, 10, 11, program.EOS]])
    found = program.beam_search(model, together, beams=3, longest=6)
    assert found[0] == program.beam_search(model, alone, beams=3, longest=6)[0]


def test_many_beams_find_the_best_of_all(program):
    model = small(program)
    source = program.padded([[5, 6, program.EOS]])
    words = range(program.UNKNOWN + 1, 12)
    every = [[]] + [[a] for a in words] + [[a, b] for a in words for b in words]
    best = max(every, key=lambda w: probability(program, model, source, w) / (len(w) + 1))
    found = program.beam_search(model, source, beams=150, longest=3)[0]
    ours = probability(program, model, source, found) / (len(found) + 1) if len(found) < 3 else math.inf
    assert len(found) == 3 or found == best or math.isclose(ours, probability(program, model, source, best) / (len(best) + 1), abs_tol=1e-5)


def test_bleu_is_sacrebleus(program):
    """The numbers are sacrebleu 2.6's (corpus_bleu)."""
    ours = ["Ein Mann, der auf einer Bank sitzt.", "Zwei Hunde spielen im 1,5 m hohen Schnee."]
    wanted = ["Ein Mann sitzt auf einer Bank.", "Zwei Hunde spielen im hohen Schnee."]
    assert program.bleu(ours, wanted) == pytest.approx(31.02, abs=0.01)
    assert program.bleu(wanted, wanted) == pytest.approx(100)
    assert program.bleu(["nichts"], ["Ein Mann sitzt da ."]) == 0
