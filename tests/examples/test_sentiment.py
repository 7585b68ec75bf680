"""Sentiment: each model learns in seconds; padding does not change an answer."""

import pytest

import rushlight


@pytest.mark.parametrize("model", ["bag", "lstm", "transformer"])
def test_learns(example, real, model):
    made = example("sentiment", "--quick", "--model", model, real=real)
    first, last = made["history"][0], made["history"][-1]
    assert last["loss"] < first["loss"] - 0.05
    assert made["result"]["accuracy"] > 0.58  # half of the sentences are positive


def test_interrupted_and_resumed_gives_the_same_numbers(example):
    options = ["--quick", "--model", "bag", "--deterministic"]
    whole = example("sentiment", *options, out="whole")
    example.interrupted("sentiment", *options, out="parts", after="epoch 2")
    parts = example("sentiment", *options, out="parts")
    assert [h["loss"] for h in parts["history"]] == [h["loss"] for h in whole["history"]]


@pytest.mark.parametrize("model", ["bag", "transformer"])
def test_padding_changes_nothing(load, model):
    program = load("sentiment")
    rushlight.manual_seed(0)
    made = program.MODELS[model](20).eval()
    with rushlight.no_grad():
        alone = made(rushlight.tensor([[3, 4, 5]]))
        padded = made(rushlight.tensor([[3, 4, 5, 0, 0], [6, 7, 8, 9, 10]]))
    assert rushlight.allclose(alone[0], padded[0], atol=1e-5)
