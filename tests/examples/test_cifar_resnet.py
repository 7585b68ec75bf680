"""Colour pictures: learning is visible in seconds, with augmentation in the loader."""


def test_learns(example, real):
    made = example("cifar_resnet", "--quick", real=real)
    losses = [h["loss"] for h in made["history"]]
    assert losses[-1] < 0.9 * losses[0] and made["result"]["accuracy"] > 0.2
    assert all((example.folder / "run" / f"{name}.png").exists() for name in ("curves", "confusion", "augmented"))
