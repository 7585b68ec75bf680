"""MobileNetV2 (Sandler et al.: Inverted residuals and linear bottlenecks, 2018)."""

from __future__ import annotations

from rushlight import nn

# widening, channels, blocks, stride of the first block: table 2 of the paper
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def convolution(before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, a batch norm, and a ReLU that ends at 6."""
    return nn.Sequential(nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(after), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """More channels, a filter of 3x3 for each of them, few channels again; added to what comes in where that has the same shape."""

    def __init__(self, before: int, after: int, stride: int, widening: int):
        super().__init__()
        wide = before * widening
        widened = [] if widening == 1 else [convolution(before, wide, kernel=1)]
        self.conv = nn.Sequential(*widened, convolution(wide, wide, stride=stride, groups=wide),
                                  nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after))
        self.added = stride == 1 and before == after

    def forward(self, x):
        return x + self.conv(x) if self.added else self.conv(x)


def divisible(channels: float) -> int:
    """A number of channels as a multiple of 8, at most a tenth less."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class MobileNetV2(nn.Module):
    """Inverted residuals; 3.5 million parameters. Pictures (N, 3, H, W), scores (N, num_classes).

    width_mult: of the numbers of channels. dropout: of the last features.

    >>> from rushlight.models import MobileNetV2
    >>> MobileNetV2(num_classes=7, width_mult=0.5).eval()(torch.randn(1, 3, 64, 64)).shape
    torch.Size([1, 7])
    """

    def __init__(self, num_classes: int = 1000, width_mult: float = 1.0, dropout: float = 0.2):
        super().__init__()
        before, last = divisible(32 * width_mult), divisible(1280 * max(1.0, width_mult))
        features: list[nn.Module] = [convolution(3, before, stride=2)]
        for widening, channels, count, stride in STAGES:
            after = divisible(channels * width_mult)
            for j in range(count):
                features.append(InvertedResidual(before, after, stride if j == 0 else 1, widening))
                before = after
        features.append(convolution(before, last, kernel=1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def mobilenet_v2(num_classes: int = 1000) -> MobileNetV2:
    """MobileNetV2 of the usual width."""
    return MobileNetV2(num_classes)


__all__ = ["MobileNetV2", "mobilenet_v2"]
