"""VGG (Simonyan, Zisserman: Very deep convolutional networks for large-scale image recognition, 2014)."""

from __future__ import annotations

import rushlight as torch
from rushlight import nn

# channels of the convolutions of each stage: table 1 of the paper
STAGES = {
    11: ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    13: ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    16: ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


class VGG(nn.Module):
    """Convolutions of 3x3 with a maximum over 2x2 places after each stage, then three linear layers.

    stages: the channels of each stage's convolutions. batch_norm: after each convolution. Pictures (N, 3, H, W), scores
    (N, num_classes). With 224x224 pictures the first linear layer has 25,088 inputs; other sizes are brought to that.

    >>> from rushlight.models import VGG
    >>> VGG([(8,), (16, 16)], num_classes=3).eval()(torch.randn(1, 3, 32, 32)).shape
    torch.Size([1, 3])
    """

    def __init__(self, stages, batch_norm: bool = False, num_classes: int = 1000, dropout: float = 0.5):
        super().__init__()
        features: list[nn.Module] = []
        before = 3
        for stage in stages:
            for after in stage:
                features.append(nn.Conv2d(before, after, 3, padding=1))
                if batch_norm:
                    features.append(nn.BatchNorm2d(after))
                features.append(nn.ReLU(inplace=True))
                before = after
            features.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(before * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(4096, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def vgg11(num_classes: int = 1000) -> VGG:
    """VGG with 11 layers, 133 million parameters."""
    return VGG(STAGES[11], False, num_classes)


def vgg11_bn(num_classes: int = 1000) -> VGG:
    """VGG with 11 layers and batch norms."""
    return VGG(STAGES[11], True, num_classes)


def vgg13(num_classes: int = 1000) -> VGG:
    """VGG with 13 layers, 133 million parameters."""
    return VGG(STAGES[13], False, num_classes)


def vgg13_bn(num_classes: int = 1000) -> VGG:
    """VGG with 13 layers and batch norms."""
    return VGG(STAGES[13], True, num_classes)


def vgg16(num_classes: int = 1000) -> VGG:
    """VGG with 16 layers, 138 million parameters."""
    return VGG(STAGES[16], False, num_classes)


def vgg16_bn(num_classes: int = 1000) -> VGG:
    """VGG with 16 layers and batch norms."""
    return VGG(STAGES[16], True, num_classes)


def vgg19(num_classes: int = 1000) -> VGG:
    """VGG with 19 layers, 144 million parameters."""
    return VGG(STAGES[19], False, num_classes)


def vgg19_bn(num_classes: int = 1000) -> VGG:
    """VGG with 19 layers and batch norms."""
    return VGG(STAGES[19], True, num_classes)


__all__ = ["VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]
