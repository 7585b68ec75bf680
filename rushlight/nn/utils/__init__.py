"""Helpers around modules: clipping gradients, packing sequences, parametrising weights."""

from __future__ import annotations

from typing import Any

_HOME = {
    "clip_grad": "clip_grad_norm clip_grad_norm_ clip_grad_value_ clip_grads_with_norm_ "
    "get_total_norm",
    "convert_parameters": "parameters_to_vector vector_to_parameters",
    "fusion": "fuse_conv_bn_eval fuse_conv_bn_weights fuse_linear_bn_eval fuse_linear_bn_weights",
    "memory_format": (
        "convert_conv2d_weight_memory_format convert_conv3d_weight_memory_format"
    ),
    "older_norms": "remove_spectral_norm remove_weight_norm spectral_norm weight_norm",
    "stateless": "skip_init",
}
_HOME_OF = {name: file for file, names in _HOME.items() for name in names.split()}
_FILES = ("parametrizations", "parametrize", "prune", "rnn", "stateless")
__all__ = sorted([*_HOME_OF, *_FILES])


def __getattr__(name: str) -> Any:
    """Import a helper's file when it is first used."""
    import importlib

    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value  # after the import, which may have set the file of that name
        return value
    if name in _FILES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
