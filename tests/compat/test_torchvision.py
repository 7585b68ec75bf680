"""torchvision: models and transforms; its compiled operators are not there."""

import pytest
from compat.programs import needs, run, same

needs("torchvision", "PIL")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_models_train(name, tmp_path):
    same(f"""
        from torchvision import models
        net = fill(models.{name}(num_classes=5), 0.02)
        for module in net.modules():
            if isinstance(module, (torch.nn.Linear, torch.nn.Dropout)):
                getattr(module, "bias", None) is not None and module.bias.data.zero_()
                module.p = 0.0
        x, y = data(2, 3, 64, 64), torch.arange(2)
        numbers["losses"] = train(net, lambda: torch.nn.functional.cross_entropy(net(x), y), steps=2)
    """, tmp_path, rtol=1e-3, atol=1e-4)


def test_transforms(tmp_path):
    same("""
        from PIL import Image
        from torchvision import transforms as T
        pixels = np.random.RandomState(0).randint(0, 256, (40, 48, 3)).astype("uint8")
        image = Image.fromarray(pixels)
        steps = T.Compose([T.Resize(32), T.CenterCrop(24), T.ToTensor(), T.Normalize([0.5] * 3, [0.2] * 3)])
        numbers["image"] = steps(image)
        x = data(3, 20, 20).sigmoid()
        for step in (T.Resize(12, antialias=True), T.Pad(2), T.Grayscale(), T.GaussianBlur(3, 1.0)):
            numbers[type(step).__name__] = step(x)
    """, tmp_path, rtol=1e-3, atol=1e-4)


def test_compiled_operators_say_that_they_are_absent(tmp_path):
    run("""
        import torchvision
        try:
            torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        except RuntimeError as error:
            numbers["error"] = str(error)
    """, tmp_path)


@pytest.mark.parametrize("name, node, size", [("resnet18", "layer2.0.relu_1", 64), ("swin_t", "features.3", 64)])
def test_features(name, node, size, tmp_path):
    same(f"""
        from torchvision import models
        from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names
        net = fill(models.{name}(), 0.05).eval()
        numbers["train"], numbers["eval"] = map(" ".join, get_graph_node_names(net))
        numbers["features"] = create_feature_extractor(net, ["{node}"])(data(1, 3, {size}, {size}))["{node}"]
    """, tmp_path, rtol=1e-3, atol=1e-4)


def test_nodes_of_a_transformer(tmp_path):
    same("""
        from torchvision import models
        from torchvision.models.feature_extraction import get_graph_node_names
        numbers["nodes"] = " ".join(get_graph_node_names(models.vit_b_16(num_classes=2))[0])
    """, tmp_path)
