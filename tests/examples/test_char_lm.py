"""Characters: both models learn in seconds, and write; the cache changes nothing in what a GPT writes."""

import pytest

import rushlight


@pytest.mark.parametrize("model", ["lstm", "gpt"])
def test_learns(example, real, model):
    made = example("char_lm", "--quick", "--model", model, real=real)
    first, last = made["history"][0], made["history"][-1]
    assert last["val_loss"] < first["val_loss"] - 0.1
    assert made["result"]["val_loss"] < 2.5  # 3.3 nats tell how often each character occurs, and no more
    assert (example.folder / "run" / "curves.png").exists()


def test_interrupted_and_resumed_gives_the_same_numbers(example):
    options = ["--quick", "--model", "gpt", "--steps", "200", "--write", "20", "--deterministic"]
    whole = example("char_lm", *options, out="whole")
    example.interrupted("char_lm", *options, out="parts", after="step 100")
    parts = example("char_lm", *options, out="parts")
    assert [h["val_loss"] for h in parts["history"]] == [h["val_loss"] for h in whole["history"]]


@pytest.fixture
def program(load):
    return load("char_lm")


def greedy_without_cache(program, model, text, length):
    for _ in range(length):
        scores, _ = model(rushlight.tensor([text]))
        text = [*text, scores[0, -1].argmax().item()]
    return text


@pytest.mark.parametrize("model", ["LSTM", "GPT"])
def test_what_it_remembers_changes_nothing(program, model):
    rushlight.manual_seed(0)
    made = getattr(program, model)(20, width=16, layers=2).eval()
    text = [1, 2, 3]
    with rushlight.no_grad():
        wanted = greedy_without_cache(program, made, text, 12)
    assert program.write(made, text, 12, temperature=0) == wanted


def test_writes_beyond_its_context(program):
    rushlight.manual_seed(0)
    made = program.GPT(20, width=16, layers=1, context=8)
    assert len(program.write(made, [1], 30)) == 31


def test_top_k_and_temperature(program):
    rushlight.manual_seed(0)
    made = program.GPT(20, width=16, layers=1)
    likeliest = program.write(made, [1], 10, temperature=0)
    assert program.write(made, [1], 10, top_k=1) == likeliest
    assert program.write(made, [1], 10, temperature=100.0) != likeliest
