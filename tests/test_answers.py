"""What libraries ask of PyTorch's parts that are not here: a clear answer, or an error that says so."""

from __future__ import annotations

import threading
import zipfile

import pytest

import rushlight as torch


def test_torchscript_returns_what_it_is_given():
    def double(x):
        return 2 * x

    assert torch.jit.script(double) is double and torch.jit.trace(double, torch.ones(1)) is double
    assert torch.jit.ignore(double) is double and torch.jit.unused(double) is double
    assert torch.jit.script_if_tracing(double) is double and torch.jit.ignore(drop=True)(double) is double
    assert not torch.jit.is_scripting() and not torch.jit.is_tracing()
    assert torch.jit.isinstance([1], list[int]) and torch.jit.annotate(int, 3) == 3
    for wrong in (lambda: torch.jit.load("x"), lambda: torch.jit.save(double, "x"),
                  torch.jit.ScriptModule, torch.ScriptFunction):
        with pytest.raises(RuntimeError, match="TorchScript"):
            wrong()


def test_compiler_marks_change_nothing():
    def double(x):
        return 2 * x

    for mark in (torch.compiler.disable, torch.compiler.allow_in_graph, torch._dynamo.disable,
                 torch.compiler.assume_constant_result):
        assert mark(double) is double
    assert torch.compiler.disable(recursive=False)(double) is double
    assert not torch.compiler.is_compiling() and not torch._dynamo.is_compiling()
    x = torch.ones(2)
    torch._dynamo.mark_dynamic(x, 0)
    torch._dynamo.mark_static_address(x)
    torch._dynamo.config.verbose = False
    torch.compiler.reset()
    assert torch.compiler.compile(double) is double
    model = torch.nn.Linear(2, 2)
    assert not isinstance(torch.compile(model), torch._dynamo.OptimizedModule)
    with pytest.raises(TypeError, match="torch.compile"):
        torch._dynamo.OptimizedModule(model)


def test_one_process_and_no_devices():
    from rushlight.distributed.tensor import DTensor
    from rushlight.nn.parallel.distributed import DistributedDataParallel

    assert not torch.distributed.is_available() and not torch.distributed.is_initialized()
    assert not isinstance(torch.ones(1), DTensor)
    for wrong, match in (
        (lambda: DistributedDataParallel(torch.nn.Linear(1, 1)), "one process"),
        (DTensor, "one process"),
        (torch.cuda.Stream, "CUDA"), (torch.cuda.CUDAGraph, "CUDA"),
        (lambda: torch.cuda.get_device_capability(), "CUDA"),
        (lambda: torch.cuda.StreamContext(object()), "CUDA"),
        (lambda: torch.onnx.export(None), "ONNX"),
        (lambda: torch.utils.flop_counter.FlopCounterMode().__enter__(), "explain"),
        (lambda: torch.set_default_device("cuda"), "CUDA"),
    ):
        with pytest.raises(RuntimeError, match=match):
            wrong()
    assert torch.cuda.get_rng_state_all() == [] and torch.cuda.memory_stats() == {}
    assert not torch.xpu.is_available() and torch.xpu.device_count() == 0
    assert torch.version.cuda is None and torch.version.hip is None
    assert not torch.onnx.is_in_onnx_export() and torch.get_default_device() == torch.device("cpu")


def test_back_ends_are_modules_with_flags():
    import rushlight.backends.cudnn as cudnn
    import rushlight.backends.mps  # noqa: F401

    assert not cudnn.is_available() and cudnn.version() is None
    with cudnn.flags(enabled=True, deterministic=True):
        assert cudnn.enabled and cudnn.deterministic
    assert not cudnn.enabled and not cudnn.deterministic
    torch.backends.cuda.matmul.allow_tf32 = False
    assert not torch.backends.mps.is_built() and not torch.backends.mkldnn.enabled


def test_a_block_of_a_device_ends_with_an_error():
    with pytest.raises(ValueError), torch.device("meta"):
        raise ValueError
    assert not torch.ones(1).is_meta


def test_futures():
    f = torch.futures.Future()
    with pytest.raises(RuntimeError, match="not done"):
        f.value()
    g = f.then(lambda done: done.wait() * 2)
    bad = f.then(lambda done: 1 // 0)
    threading.Timer(0.01, f.set_result, (21,)).start()
    assert g.wait() == 42 and torch.futures.wait_all([f, g]) == [21, 42]
    with pytest.raises(ZeroDivisionError):
        bad.wait()
    with pytest.raises(RuntimeError, match="done already"):
        f.set_result(1)
    assert torch.futures.collect_all([]).wait() == []
    assert [x.value() for x in torch.futures.collect_all([f, g]).wait()] == [21, 42]


def test_records_of_a_file(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"x": torch.ones(2)}, path)
    reader = torch.PyTorchFileReader(str(path))
    assert "data.pkl" in reader.get_all_records() and not reader.has_record("data/7")
    assert reader.get_record("data/0") == torch.ones(2).numpy().tobytes()
    with pytest.raises(RuntimeError, match="data/7"):
        reader.get_record("data/7")
    path.write_bytes(b"no zip file")
    with pytest.raises(zipfile.BadZipFile):
        torch.PyTorchFileReader(str(path))


def test_an_optimizer_around_another():
    """A subclass that never initialises itself, as libraries wrap optimisers: the inner one's hooks run."""

    class Around(torch.optim.Optimizer):
        def __init__(self, inner):
            self.inner = inner

        def step(self):
            self.inner.step()

    w = torch.ones(1, requires_grad=True)
    inner = torch.optim.SGD([w], 0.5)
    seen = []
    inner.register_step_post_hook(lambda *_: seen.append(1))
    w.grad = torch.ones(1)
    Around(inner).step()
    assert w.item() == 0.5 and seen == [1]


def test_libraries_compiled_for_pytorch_are_refused():
    with pytest.raises(OSError, match="compiled for PyTorch"):
        torch.ops.load_library("there.so")

    def fake(x):
        return x

    assert torch.library.register_fake("answers_absent::op")(fake) is fake  # torchvision's are so
    with pytest.raises(RuntimeError, match="does not exist"):
        torch.library.register_autograd("answers_absent::op", fake)


def test_onnx_symbolics_are_accepted():
    from rushlight.onnx import symbolic_helper

    def symbolic(g, x):
        return g, x

    assert symbolic_helper.parse_args("v")(symbolic) is symbolic
    torch.onnx.register_custom_op_symbolic("answers::op", symbolic, 11)


def test_quantization_marks_are_identities():
    from rushlight.ao.quantization import DeQuantStub, QuantStub, convert

    x = torch.ones(2)
    assert QuantStub()(x) is x and DeQuantStub()(x) is x
    with pytest.raises(RuntimeError, match="no quantized layers"):
        convert(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("name, error", [
    ("_check", RuntimeError), ("_check_index", IndexError), ("_check_value", ValueError), ("_check_type", TypeError)])
def test_checks_raise_as_in_pytorch(name, error):
    import torch as real

    for module in (torch, real):
        check = getattr(module, name)
        check(True)
        with pytest.raises(error, match="seven"):
            check(False, lambda: "seven")
        with pytest.raises(TypeError):
            check(1)
