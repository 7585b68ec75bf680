"""The table of PyTorch's names (`answers.py`): each entry is one of PyTorch's names and does what it says."""

from __future__ import annotations

import inspect
import io
import pickle
from importlib import import_module

import pytest
import torch

import rushlight
from rushlight import answers
from rushlight.trace import named_dtypes


def of(T, space):
    return T if space == "torch" else import_module(f"{T.__name__}.{space}")


TABLES = [
    *[(s, n) for s, homes in answers.TAKEN.items() for names in homes.values() for n in names.split()],
    *[(s, n) for t in (answers.CONSTANT, answers.VALUES) for s, names in t.items() for n in names],
    *[(s, n) for s, (_, f, c) in answers.REFUSED.items() for n in f"{f} {c}".split()],
]


@pytest.mark.parametrize("space", sorted({s for s, _ in TABLES}))
def test_every_entry_is_a_name_of_pytorch(space):
    for s, name in TABLES:
        if s == space:
            assert hasattr(of(torch, space), name), name
            assert getattr(of(rushlight, space), name, answers) is not answers, name


@pytest.mark.parametrize("space", answers.REFUSED)
def test_what_is_refused_raises(space):
    _, functions, classes = answers.REFUSED[space]
    for name in f"{functions} {classes}".split():
        with pytest.raises((RuntimeError, AssertionError)):
            getattr(of(rushlight, space), name)()


@pytest.mark.parametrize("space", ["cuda", "xpu", "accelerator", "mps", "backends.cuda", "nn.attention"])
def test_answers_are_those_of_pytorch_without_devices(space):
    for name, value in answers.CONSTANT.get(space, {}).items():
        try:
            theirs = getattr(of(torch, space), name)()
        except Exception:
            continue  # needs arguments, or a build with the device
        if value is not None and name != "list_flash_attention_impls":
            assert getattr(of(rushlight, space), name)() == (dict(theirs) if isinstance(theirs, dict) else theirs), name


@pytest.mark.parametrize("what, why", [
    ("AliasDb", "TorchScript"), ("export.export", "not planned"), ("package.PackageImporter", "not planned"),
    ("quantization.quantize", "planned"), ("ao.quantization.QConfig", "planned"),
    ("utils.cpp_extension.load", "custom_op"), ("distributed.all_reduce", "planned"), ("mkldnn_convolution", "library"),
])  # fmt: skip
def test_missing_names_say_why(what, why):
    *path, name = what.split(".")
    with pytest.raises(AttributeError, match=why):
        getattr(of(rushlight, ".".join(path) or "torch"), name)
    assert hasattr(of(torch, ".".join(path) or "torch"), name)


@pytest.mark.parametrize("name", named_dtypes.NAMED)
def test_dtypes_without_tensors(name):
    ours, theirs = getattr(rushlight, name), getattr(torch, name)
    assert str(ours) == str(theirs) and ours.itemsize == theirs.itemsize
    assert (ours.is_floating_point, ours.is_complex) == (theirs.is_floating_point, theirs.is_complex)
    assert pickle.loads(pickle.dumps(ours)) is ours and ours != rushlight.int8
    with pytest.raises(NotImplementedError, match=name):
        rushlight.zeros(2, dtype=ours)


def test_result_types():
    for name in dir(torch.return_types):
        theirs = getattr(torch.return_types, name)
        if isinstance(theirs, type) and not name.startswith("_") and name != "SequenceKey":
            ours = getattr(rushlight.return_types, name)
            fields = getattr(theirs, "__match_args__", ())
            assert not fields or ours._fields == tuple(fields), name
    for f in ("max(x, 0)", "linalg.eigh(x)", "linalg.qr(x)", "svd(x)", "linalg.lu_factor(x)", "sort(x)"):
        result = eval(f"T.{f}", {"T": rushlight, "x": rushlight.eye(2)})
        assert isinstance(result, getattr(rushlight.return_types, type(result).__name__)), f


def test_storages():
    assert rushlight.LongStorage([1, 2]).tolist() == [1, 2] and len(rushlight.BoolStorage(3)) == 3
    assert isinstance(rushlight.ones(2).storage(), rushlight.FloatStorage)
    assert not isinstance(rushlight.ones(2).storage(), rushlight.DoubleStorage)


def test_files_say_what_they_need():
    from fractions import Fraction

    for value, names in ((Fraction(1, 3), ["fractions.Fraction"]), ({"a": rushlight.ones(2)}, [])):
        file = io.BytesIO()
        rushlight.save(value, file)
        assert rushlight.serialization.get_unsafe_globals_in_checkpoint(file) == names


@pytest.mark.parametrize("pattern, lengths", [
    ("b (h w) c -> b c h w", {"w": 3}), ("b ... -> ... b", {}), ("a b c -> (a c) b", {}), ("... c -> (...) c", {}),
])  # fmt: skip
def test_rearrange(pattern, lengths):
    ours, theirs = [T.func.rearrange(T.arange(60).reshape(2, 6, 5), pattern, **lengths).tolist() for T in (rushlight, torch)]
    assert ours == theirs


def test_rearrange_refuses():
    x = rushlight.zeros(2, 6)
    for pattern in ("a b", "a -> a", "a b -> a c", "a (b -> a b", "a (b c) -> a b c"):
        with pytest.raises(ValueError, match="rearrange"):
            rushlight.func.rearrange(x, pattern)


def test_overridable_functions_have_names():
    found = rushlight.overrides.get_overridable_functions()
    assert rushlight.exp in found[rushlight] and rushlight.zeros not in found[rushlight]
    assert rushlight.overrides.resolve_name(rushlight.exp) == torch.overrides.resolve_name(torch.exp)
    assert all(inspect.isfunction(f) for f in rushlight.overrides.get_testing_overrides().values())


def test_schemas_of_annotated_functions():
    for mutates in ((), ("x",)):
        texts = []
        for T in (rushlight, torch):
            def f(x, y, n=2, *, s="a"):
                pass

            f.__annotations__ = {"x": T.Tensor, "y": T.Tensor | None, "n": int, "s": str, "return": tuple[T.Tensor, T.Tensor]}
            texts.append(T.library.infer_schema(f, mutates_args=mutates))
        assert texts[0] == texts[1]
