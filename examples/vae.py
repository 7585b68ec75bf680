"""Digits from numbers: a variational autoencoder that writes MNIST digits.

    rushlight examples vae
    rushlight examples vae --latent 2       # and a map of the plane of all digits
"""

import common
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class VAE(nn.Module):
    """A picture to a small Gaussian cloud of codes, and a code to a picture (Kingma and Welling, 2013)."""

    def __init__(self, latent=16, hidden=512):
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, hidden // 2), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(hidden // 2, latent), nn.Linear(hidden // 2, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden // 2), nn.ReLU(), nn.Linear(hidden // 2, hidden), nn.ReLU(),
                                     nn.Linear(hidden, 784))

    def encode(self, x):
        found = self.encoder(x)
        return self.mean(found), self.log_variance(found)

    def decode(self, code):
        """Scores of the pixels; their sigmoid is the picture."""
        return self.decoder(code).view(-1, 1, 28, 28)

    def forward(self, x):
        mean, log_variance = self.encode(x)
        # A draw from the cloud, written so that gradients reach its middle and width.
        code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.decode(code), mean, log_variance


def loss_of(model, x):
    """The negative evidence lower bound of a picture, in nats, in its parts.

    How badly pixels are predicted; and how many nats a code tells, beyond a draw from the standard normal distribution.
    """
    scores, mean, log_variance = model(x)
    pixels = F.binary_cross_entropy_with_logits(scores, x, reduction="sum")
    told = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
    return pixels / len(x), told / len(x)


def main():
    p = common.parser(__doc__, "vae")
    p.add_argument("--latent", type=int, default=16, help="numbers in a code (default: 16)")
    p.add_argument("--epochs", type=int, default=20)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=1e-3)
    args = common.arguments(p, epochs=4)
    x, _ = common.mnist(True, args.data, count=5000 if args.quick else None)
    test_x, _ = common.mnist(False, args.data, count=1000 if args.quick else None)
    torch.manual_seed(args.seed)
    train, test = DataLoader(TensorDataset(x), args.batch, shuffle=True), DataLoader(TensorDataset(test_x), 500)
    model = VAE(args.latent).to(args.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)

    run = common.Run(args)
    for epoch in range(run.resume(args, model=model, optimizer=optimizer, schedule=schedule), args.epochs):
        total = torch.zeros((), device=args.device)
        bar = common.progress(train, description=f"epoch {epoch + 1}", last_line=False)
        for (pictures,) in bar:
            optimizer.zero_grad()
            pixels, told = loss_of(model, pictures.to(args.device))
            loss = pixels + told
            loss.backward()
            optimizer.step()
            total += loss.detach()
            bar.show(loss=loss.detach())
        schedule.step()
        with torch.no_grad():
            pixels, told = torch.stack([torch.stack(loss_of(model, pictures.to(args.device))) for (pictures,) in test]).mean(0).tolist()
        run.log(epoch=epoch + 1, loss=total.item() / len(train), test_loss=pixels + told, pixels=pixels, told=told)
        run.save(epoch + 1)

    model.cpu()
    with torch.no_grad():
        samples = model.decode(torch.randn(5000, args.latent)).sigmoid()
        run.result(bound=-run.history[-1]["test_loss"], frechet=common.frechet_distance(test_x, samples))
        means, _ = model.encode(test_x[:10])
        again = model.decode(means).sigmoid()
        part = torch.linspace(0, 1, 10)[:, None]
        between = torch.cat([model.decode((1 - part) * means[i] + part * means[i + 1]).sigmoid() for i in range(6)])
        common.draw(common.plots.plot_curves, run.curves("loss", "test_loss"), run.out / "curves.png")
        common.draw(common.sheet, run.out / "samples.png", samples[:60])
        common.draw(common.sheet, run.out / "again.png", torch.cat([test_x[:10], again]))
        common.draw(common.sheet, run.out / "between.png", between)
        if args.latent == 2:  # the codes that lie at even steps of the normal distribution
            step = torch.distributions.Normal(0, 1).icdf(torch.linspace(0.03, 0.97, 15))
            plane = torch.cartesian_prod(step.flip(0), step).flip(1)
            common.draw(common.sheet, run.out / "plane.png", model.decode(plane).sigmoid(), columns=15)


if __name__ == "__main__":
    main()
