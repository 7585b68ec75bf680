"""PPO: the pole stays up longer after seconds; advantages end where episodes end."""


import rushlight


def test_learns(example, real):
    made = example("ppo", "--quick", real=real)
    assert made["result"]["mean_return"] > 100


def test_interrupted_and_resumed_gives_the_same_numbers(example):
    options = ["--quick", "--updates", "15", "--deterministic"]
    whole = example("ppo", *options, out="whole")
    example.interrupted("ppo", *options, out="parts", after="update 5")
    parts = example("ppo", *options, out="parts")
    assert [(h["loss"], h["score"]) for h in parts["history"]] == [(h["loss"], h["score"]) for h in whole["history"]]


def test_advantages_end_where_episodes_end(load):
    zero, one = rushlight.zeros(3, 1), rushlight.ones(3, 1)
    over = rushlight.tensor([[0.0], [1.0], [0.0]])
    made = load("ppo").advantages_of(zero, zero, one, over, over, discount=0.5, smoothing=1.0)
    assert made.flatten().tolist() == [1.5, 1.0, 1.0]
