"""Policy gradients: the pole stays up longer after seconds; what returns are."""

import pytest


@pytest.mark.parametrize("model", ["reinforce", "actor-critic"])
def test_learns(example, real, model):
    made = example("policy_gradient", "--quick", "--model", model, real=real)
    assert made["result"]["mean_return"] > 100  # 9 with one action only, 22 with any


def test_interrupted_and_resumed_gives_the_same_numbers(example):
    options = ["--quick", "--updates", "20", "--deterministic"]
    whole = example("policy_gradient", *options, out="whole")
    example.interrupted("policy_gradient", *options, out="parts", after="update 10")
    parts = example("policy_gradient", *options, out="parts")
    assert [(h["steps"], h["loss"]) for h in parts["history"]] == [(h["steps"], h["loss"]) for h in whole["history"]]


def test_discounted_sums(load):
    assert load("policy_gradient").discounted([1.0, 2.0, 4.0], 0.5) == [3.0, 4.0, 4.0]
