"""The variational autoencoder and the GAN: their samples come closer to the data."""


def test_vae(example, real):
    made = example("vae", "--quick", real=real)
    losses = [h["test_loss"] for h in made["history"]]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 195
    assert all((example.folder / "run" / f"{name}.png").exists() for name in ("samples", "again", "between"))


def test_plane_of_two_numbers(example):
    example("vae", "--quick", "--epochs", "1", "--latent", "2")
    assert (example.folder / "run" / "plane.png").exists()


def test_gan(example, real):
    made = example("gan", "--quick", real=real)
    distances = [h["frechet"] for h in made["history"]]
    assert distances[-1] < 0.8 * distances[0]
    assert (example.folder / "run" / f"samples{len(distances)}.png").exists()
