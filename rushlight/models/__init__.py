"""Well-known networks, each in a page of code written from its paper, with the parameters' names of their usual sources.

    model = rushlight.models.resnet50()
    model.load_state_dict(torch.load("resnet50.pth"))

Networks for pictures have torchvision's names, GPT-2 and BERT those of Hugging Face's transformers, the LSTM language model
those of PyTorch's example `word_language_model`; so weights that were saved there load here, and the outputs are the same. New
networks get their papers' initial weights.
"""

from importlib import import_module as _import_module

_FILES = {
    "resnet": ["ResNet", "resnet18", "resnet34", "resnet50", "resnet101"],
    "mobilenet": ["MobileNetV2", "mobilenet_v2"],
    "vgg": ["VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"],
    "vision_transformer": ["VisionTransformer", "vit_b_16", "vit_b_32"],
    "gpt2": ["GPT2"],
    "bert": ["BERT", "BERTMaskedLM"],
    "lstm": ["LSTMLanguageModel"],
}
_HOME = {name: file for file, names in _FILES.items() for name in names}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'rushlight.models' has no attribute '{name}'")
    found = getattr(_import_module("." + _HOME[name], __name__), name)
    globals()[name] = found
    return found
