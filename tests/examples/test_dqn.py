"""Deep Q-learning: the pole stays up longer after seconds; what the memory gives back."""


def test_learns(example, real):
    made = example("dqn", "--quick", real=real)
    assert made["result"]["mean_return"] > 60  # 9 with one action only, 22 with any


def test_interrupted_and_resumed_gives_the_same_numbers(example):
    options = ["--quick", "--steps", "3000", "--deterministic"]
    whole = example("dqn", *options, out="whole")
    example.interrupted("dqn", *options, out="parts", after="step 2")
    parts = example("dqn", *options, out="parts")
    assert [(h["step"], h["loss"], h["score"]) for h in parts["history"]] == [(h["step"], h["loss"], h["score"]) for h in whole["history"]]


def test_the_memory_is_a_ring(load):
    memory = load("dqn").Memory(3, observations=1)
    for i in range(5):
        memory.add([i], i, float(i), [i + 1], False)
    states, actions, rewards, next_states, ended = memory.draw(50)
    assert set(actions.tolist()) == {2, 3, 4} == set(rewards.tolist())
    assert (next_states - states == 1).all() and not ended.any()
