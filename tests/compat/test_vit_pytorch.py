"""vit-pytorch: vision transformers in training."""

import pytest
from compat.programs import needs, same

needs("vit_pytorch", "einops", "torchvision")


@pytest.mark.parametrize("make", [
    "ViT(image_size=32, patch_size=8, num_classes=5, dim=32, depth=2, heads=2, mlp_dim=64)",
    "SimpleViT(image_size=32, patch_size=8, num_classes=5, dim=32, depth=2, heads=2, mlp_dim=64)"])
def test_models_train(make, tmp_path):
    same(f"""
        from vit_pytorch import SimpleViT, ViT
        net = fill({make})
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.data.fill_(0.5)
        x, y = data(4, 3, 32, 32), torch.arange(4)
        numbers["losses"] = train(net, lambda: torch.nn.functional.cross_entropy(net(x), y))
    """, tmp_path)
