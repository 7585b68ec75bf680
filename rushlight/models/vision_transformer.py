"""The vision transformer (Dosovitskiy et al.: An image is worth 16x16 words, 2020)."""

from __future__ import annotations

import math

import rushlight as torch
from rushlight import nn


class Layer(nn.Module):
    """x + attention, then x + a network of two layers for each patch, each after a layer norm."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width),
                                 nn.Dropout(dropout))
        for layer in (self.mlp[0], self.mlp[3]):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.dropout(self.self_attention(y, y, y, need_weights=False)[0])
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Adds to each patch what says where it lies, and applies the layers."""

    def __init__(self, length: int, depth: int, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, length, width).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential()
        for i in range(depth):
            self.layers.add_module(f"encoder_layer_{i}", Layer(width, heads, hidden, dropout))
        self.ln = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        return self.ln(self.layers(self.dropout(x + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """Patches of a picture become the words of a transformer; one more word, the class token, gathers what the picture shows.

    Pictures (N, 3, image_size, image_size), scores (N, num_classes).

    >>> from rushlight.models import VisionTransformer
    >>> net = VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64, num_classes=3)
    >>> net(torch.randn(2, 3, 32, 32)).shape
    torch.Size([2, 3])
    """

    def __init__(self, image_size: int, patch_size: int, num_layers: int, num_heads: int, hidden_dim: int, mlp_dim: int,
                 dropout: float = 0.0, num_classes: int = 1000):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"pictures of {image_size} pixels have no whole number of patches of {patch_size}")
        self.image_size = image_size
        self.conv_proj = nn.Conv2d(3, hidden_dim, patch_size, patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, hidden_dim))
        length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(length, num_layers, hidden_dim, num_heads, mlp_dim, dropout)
        self.heads = nn.Sequential()
        self.heads.add_module("head", nn.Linear(hidden_dim, num_classes))
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / (3 * patch_size**2)))
        nn.init.zeros_(self.conv_proj.bias)
        nn.init.zeros_(self.heads.head.weight)
        nn.init.zeros_(self.heads.head.bias)

    def forward(self, x):
        if x.shape[2:] != (self.image_size, self.image_size):
            raise ValueError(f"expected pictures of {self.image_size}x{self.image_size}, got shape {list(x.shape)}")
        patches = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), patches], dim=1)
        return self.heads(self.encoder(x)[:, 0])


def vit_b_16(image_size: int = 224, num_classes: int = 1000) -> VisionTransformer:
    """The base model, 86.6 million parameters, with patches of 16x16."""
    return VisionTransformer(image_size, 16, 12, 12, 768, 3072, num_classes=num_classes)


def vit_b_32(image_size: int = 224, num_classes: int = 1000) -> VisionTransformer:
    """The base model with patches of 32x32: a quarter of the words."""
    return VisionTransformer(image_size, 32, 12, 12, 768, 3072, num_classes=num_classes)


__all__ = ["VisionTransformer", "vit_b_16", "vit_b_32"]
