"""Digits: learning is visible in seconds; a run that is killed goes on to the same bits."""

import pytest

import rushlight as torch


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_learns(example, real, model):
    made = example("mnist_cnn", "--quick", "--model", model, real=real)
    first, last = made["history"][0], made["history"][-1]
    assert last["loss"] < 0.8 * first["loss"] and last["test_accuracy"] > 0.8
    assert (example.folder / "run" / "curves.png").exists() and (example.folder / "run" / "mistakes.png").exists()


def test_interrupted_and_resumed_gives_the_same_bits(example):
    options = ["--quick", "--model", "mlp", "--epochs", "4", "--deterministic"]
    whole = example("mnist_cnn", *options, out="whole")
    example.interrupted("mnist_cnn", *options, out="parts", after="epoch 2")
    parts = example("mnist_cnn", *options, out="parts")
    assert [h["loss"] for h in parts["history"]] == [h["loss"] for h in whole["history"]]
    a, b = (torch.load(example.folder / out / "checkpoint.pt") for out in ("whole", "parts"))
    assert all(torch.equal(v, b["parts"]["model"][k]) for k, v in a["parts"]["model"].items())
    assert all(torch.equal(v, b["parts"]["optimizer"]["state"][i][k])
               for i, s in a["parts"]["optimizer"]["state"].items() for k, v in s.items())
    assert torch.equal(a["random"], b["random"]) and a["parts"]["schedule"] == b["parts"]["schedule"]


def test_a_checkpoint_of_another_setting_is_not_touched(example):
    import subprocess

    example("mnist_cnn", "--quick", "--model", "mlp", "--epochs", "1")
    before = (example.folder / "run" / "checkpoint.pt").read_bytes()
    done = subprocess.run(example.command("mnist_cnn", "--quick", "--model", "mlp", "--seed", "1"), env=example.environment,
                          cwd=example.folder, capture_output=True, text=True)
    assert done.returncode == 1 and "--fresh" in done.stderr and "Traceback" not in done.stderr
    assert (example.folder / "run" / "checkpoint.pt").read_bytes() == before
