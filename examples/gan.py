"""Digits from noise: a generator that learns to deceive a discriminator (a convolutional GAN on MNIST).

    rushlight examples gan
"""

import common
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Generator(nn.Module):
    """Noise to a picture: each transposed convolution makes it twice as wide (as DCGAN, Radford et al., 2015)."""

    def __init__(self, noise=64, width=32):
        super().__init__()
        self.noise = noise
        self.layers = nn.Sequential(
            nn.Linear(noise, 2 * width * 7 * 7, bias=False), nn.Unflatten(1, (2 * width, 7, 7)), nn.BatchNorm2d(2 * width), nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1), nn.Tanh(),
        )

    def forward(self, z):
        return self.layers(z)


class Discriminator(nn.Module):
    """A picture to a score: above 0, it takes it for a real one."""

    def __init__(self, width=32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(2 * width * 7 * 7, 1),
        )

    def forward(self, x):
        return self.layers(x).squeeze(1)


def initialize(module):
    """DCGAN's weights: small, so that neither wins at once."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, std=0.02)


def real(scores):
    return F.binary_cross_entropy_with_logits(scores, torch.ones_like(scores))


def made(scores):
    return F.binary_cross_entropy_with_logits(scores, torch.zeros_like(scores))


def main():
    p = common.parser(__doc__, "gan")
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--lr", type=float, default=2e-4, help="of the discriminator; the generator's is twice that (default: 2e-4)")
    args = common.arguments(p, epochs=3, batch=64)
    x, _ = common.mnist(True, args.data, count=2000 if args.quick else None)
    test_x, _ = common.mnist(False, args.data, count=2000 if args.quick else None)
    torch.manual_seed(args.seed)
    train = DataLoader(TensorDataset(2 * x - 1), args.batch, shuffle=True, drop_last=True)
    generator, discriminator = (net.apply(initialize).to(args.device) for net in (Generator(), Discriminator()))
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=2 * args.lr, betas=(0.5, 0.999))
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=args.lr, betas=(0.5, 0.999))
    same = torch.randn(2000, generator.noise, generator=torch.Generator().manual_seed(0)).to(args.device)  # seen again after each epoch

    run = common.Run(args)
    start = run.resume(args, generator=generator, discriminator=discriminator, generator_optimizer=generator_optimizer,
                       discriminator_optimizer=discriminator_optimizer)
    for epoch in range(start, args.epochs):
        generator.train()
        totals = torch.zeros(2, device=args.device)
        bar = common.progress(train, description=f"epoch {epoch + 1}", last_line=False)
        for (pictures,) in bar:
            pictures = pictures.to(args.device)
            fakes = generator(torch.randn(len(pictures), generator.noise, device=args.device))

            discriminator_optimizer.zero_grad()
            discriminator_loss = real(discriminator(pictures)) + made(discriminator(fakes.detach()))
            discriminator_loss.backward()
            discriminator_optimizer.step()

            generator_optimizer.zero_grad()
            generator_loss = real(discriminator(fakes))
            generator_loss.backward()
            generator_optimizer.step()

            totals += torch.stack([discriminator_loss.detach(), generator_loss.detach()])
            bar.show(discriminator=discriminator_loss.detach(), generator=generator_loss.detach())
        generator.eval()
        with torch.no_grad():
            samples = generator(same) / 2 + 0.5
        losses = (totals / len(train)).tolist()
        run.log(epoch=epoch + 1, discriminator_loss=losses[0], generator_loss=losses[1], frechet=common.frechet_distance(test_x, samples))
        common.draw(common.sheet, run.out / f"samples{epoch + 1}.png", samples[:60])
        run.save(epoch + 1)

    run.result(frechet=run.history[-1]["frechet"])
    common.draw(common.plots.plot_curves, run.curves("discriminator_loss", "generator_loss", "frechet"), run.out / "curves.png")


if __name__ == "__main__":
    main()
