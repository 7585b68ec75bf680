"""Residual networks (He, Zhang, Ren, Sun: Deep residual learning for image recognition, 2015)."""

from __future__ import annotations

import rushlight as torch
from rushlight import nn


class Basic(nn.Module):
    """Two convolutions of 3x3, added to what comes in."""

    widening = 1

    def __init__(self, before: int, width: int, stride: int = 1, downsample: nn.Module | None = None):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A convolution of 3x3 between two of 1x1 that make few channels of many, and many of few.

    The stride is that of the middle one, as in torchvision's weights; in the paper the first has it.
    """

    widening = 4

    def __init__(self, before: int, width: int, stride: int = 1, downsample: nn.Module | None = None):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.widening, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.widening)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A stem that divides width and height by 4, four stages of blocks, the mean over all places, scores.

    block: Basic or Bottleneck. blocks: their number in each stage. Pictures (N, 3, H, W), scores (N, num_classes).

    >>> from rushlight.models import resnet18
    >>> resnet18(num_classes=5)(torch.randn(2, 3, 64, 64)).shape
    torch.Size([2, 5])
    """

    def __init__(self, block, blocks, num_classes: int = 1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        before = 64
        for i, count in enumerate(blocks):
            width, stage = 64 * 2**i, []
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                downsample = None
                if stride != 1 or before != width * block.widening:
                    downsample = nn.Sequential(nn.Conv2d(before, width * block.widening, 1, stride, bias=False),
                                               nn.BatchNorm2d(width * block.widening))
                stage.append(block(before, width, stride, downsample))
                before = width * block.widening
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet18(num_classes: int = 1000) -> ResNet:
    """ResNet with 18 layers, 11.7 million parameters."""
    return ResNet(Basic, (2, 2, 2, 2), num_classes)


def resnet34(num_classes: int = 1000) -> ResNet:
    """ResNet with 34 layers, 21.8 million parameters."""
    return ResNet(Basic, (3, 4, 6, 3), num_classes)


def resnet50(num_classes: int = 1000) -> ResNet:
    """ResNet with 50 layers, 25.6 million parameters."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes)


def resnet101(num_classes: int = 1000) -> ResNet:
    """ResNet with 101 layers, 44.5 million parameters."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes)


__all__ = ["ResNet", "resnet101", "resnet18", "resnet34", "resnet50"]
