"""Surnames: the network learns in seconds and leaves its confusion matrix."""


def test_learns(example, real):
    made = example("names", "--quick", real=real)
    first, last = made["history"][0], made["history"][-1]
    assert last["loss"] < 0.8 * first["loss"]
    assert made["result"]["test_accuracy"] > 0.6  # the largest class has 0.47 of the names
    assert (example.folder / "run" / "confusion.png").exists()


def test_interrupted_and_resumed_gives_the_same_numbers(example):
    options = ["--quick", "--epochs", "2", "--deterministic"]
    whole = example("names", *options, out="whole")
    example.interrupted("names", *options, out="parts", after="epoch 1")
    parts = example("names", *options, out="parts")
    assert [h["loss"] for h in parts["history"]] == [h["loss"] for h in whole["history"]]


def test_accents_do_not_matter(load):
    assert load("names").plain("Élian Müller") == "elian muller"
