"""Global settings and symbols of torch, against PyTorch."""

from __future__ import annotations

import warnings

import pytest
import torch

import rushlight

CALLS = {
    "device": lambda T: str(T.get_default_device()),
    "device_none": lambda T: T.set_default_device(None),
    "device_cpu": lambda T: (T.set_default_device("cpu"), T.ones(1).device.type),
    "device_wrong": lambda T: T.set_default_device("foo"),
    "module": lambda T: (T.get_device_module("cpu") is T.cpu, T.get_device_module("cuda:1") is T.cuda),
    "precision": lambda T: (T.set_float32_matmul_precision("high"), T.get_float32_matmul_precision()),
    "precision_wrong": lambda T: (T.set_float32_matmul_precision("x"), T.get_float32_matmul_precision()),
    "precision_back": lambda T: (T.set_float32_matmul_precision("highest"), T.get_float32_matmul_precision()),
    "debug": lambda T: (T.set_deterministic_debug_mode("warn"), T.get_deterministic_debug_mode(),
                        T.are_deterministic_algorithms_enabled(),
                        T.is_deterministic_algorithms_warn_only_enabled()),
    "debug_number": lambda T: (T.set_deterministic_debug_mode(2), T.get_deterministic_debug_mode(),
                               T.is_deterministic_algorithms_warn_only_enabled()),
    "debug_wrong": lambda T: T.set_deterministic_debug_mode(5),
    "debug_word": lambda T: T.set_deterministic_debug_mode("loud"),
    "debug_type": lambda T: T.set_deterministic_debug_mode(1.0),
    "debug_off": lambda T: (T.set_deterministic_debug_mode(0), T.are_deterministic_algorithms_enabled()),
    "warn": lambda T: (T.set_warn_always(True), T.is_warn_always_enabled(), T.set_warn_always(False)),
    "warn_wrong": lambda T: T.set_warn_always(1),
    "type": lambda T: (T.set_default_tensor_type(T.DoubleTensor), str(T.ones(1).dtype)),
    "type_name": lambda T: (T.set_default_tensor_type("torch.FloatTensor"), str(T.ones(1).dtype)),
    "type_wrong": lambda T: T.set_default_tensor_type("torch.IntTensor"),
    "threads_wrong": lambda T: T.set_num_interop_threads(0),
    "autocast": lambda T: (str(T.get_autocast_cpu_dtype()), T.is_autocast_cpu_enabled(),
                           T.autocast_increment_nesting(), T.autocast_decrement_nesting()),
    "anomaly": lambda T: (T.set_anomaly_enabled(True, False), T.is_anomaly_enabled(),
                          T.is_anomaly_check_nan_enabled(), T.set_anomaly_enabled(False)),
    "sym": lambda T: (T.sym_max(1, 2.0), T.sym_min(3, 2), T.sym_int(-1.5), T.sym_float(2), T.sym_not(True),
                      T.sym_sqrt(4), T.sym_ite(True, 1, 2), isinstance(3, T.SymInt)),
}


@pytest.mark.parametrize("name", list(CALLS))
@pytest.mark.filterwarnings("ignore")
def test_as_pytorch_does(name):
    def outcome(T):
        try:
            return repr(CALLS[name](T))
        except Exception as e:
            return type(e).__name__

    assert outcome(rushlight) == outcome(torch)


def test_a_wrong_precision_warns():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rushlight.set_float32_matmul_precision("x")
    assert "not one of" in str(caught[0].message)


def test_control_flow():
    T = rushlight
    assert T.cond(T.tensor(False), lambda x: x + 1, lambda x: x - 1, (T.ones(2),)).tolist() == [0, 0]
    x = T.tensor(1.0, requires_grad=True)
    _, y = T.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (0, x))
    y.backward()
    assert x.grad.item() == 8
    with pytest.raises(RuntimeError, match="between"):
        T.sym_constrain_range(7, min=1, max=4)
    with pytest.raises(TypeError, match="plain numbers"):
        T.SymInt(3)
