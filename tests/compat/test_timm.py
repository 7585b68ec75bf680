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


@pytest.mark.parametrize("name, how", [("resnet18", "list"), ("resnet18", "fx"), ("convnext_atto", "list")])
def test_features(name, how, tmp_path):
    same(f"""
        import timm
        net = timm.create_model("{name}", features_only=True, feature_cls="{how}", out_indices=(1, 2))
        for i, features in enumerate(fill(net, 0.05).eval()(data(1, 3, 32, 32))):
            numbers[f"features {{i}}"] = features
    """, tmp_path, rtol=1e-3, atol=1e-4)
