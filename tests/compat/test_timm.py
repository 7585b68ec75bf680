"""timm: models of four families, forward and training."""

import pytest
from compat.programs import needs, same

needs("timm", "torchvision", "huggingface_hub")


# (In float32, batch normalisation of two images with one position each makes noise of rounding errors.)
@pytest.mark.parametrize("name, size, dtype", [
    ("resnet18", 32, "float"), ("vit_tiny_patch16_224", 224, "float"), ("efficientnet_b0", 32, "double"),
    ("convnext_atto", 32, "float")])
def test_models_train(name, size, dtype, tmp_path):
    same(f"""
        import timm
        net = fill(timm.create_model("{name}", num_classes=5), 0.02).{dtype}().train()
        x, y = data(2, 3, {size}, {size}).{dtype}(), torch.arange(2)
        numbers["losses"] = train(net, lambda: torch.nn.functional.cross_entropy(net(x), y), steps=2)
        numbers["logits"] = net.eval()(x)
    """, tmp_path, rtol=1e-3, atol=1e-4)
