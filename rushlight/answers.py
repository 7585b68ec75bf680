"""PyTorch's names without a definition of their own here: one table for the whole package.

A namespace hands a name that it does not have to `find` (`__getattr__ = finder(__name__)`), which looks it up:
`TAKEN` says from where a name comes, `CONSTANT` what a function of that name answers, `REFUSED` which functions
and classes raise, since the device or tool that they are for is not there (as in a PyTorch without it). What is in
none of them is an AttributeError; `MISSING` says why, whether it is planned, and what to use instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

# {namespace: {module here: the names that it gives}}; "torch" is the package itself.
TAKEN: dict[str, dict[str, str]] = {
    "torch": {
        "storage": "BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage ComplexFloatStorage "
                   "DoubleStorage FloatStorage HalfStorage IntStorage LongStorage ShortStorage Storage",
        "trace.named_dtypes": "bit bits16 bits1x8 bits2x4 bits4x2 bits8 complex32 chalf float4_e2m1fn_x2 int1 int2 int3 int4 "
                              "int5 int6 int7 uint1 uint2 uint3 uint4 uint5 uint6 uint7 qint8 qint32 quint8 quint2x4 "
                              "quint4x2 jagged legacy_contiguous_format qscheme per_channel_affine per_channel_affine_float_qparams "
                              "per_channel_symmetric per_tensor_affine per_tensor_symmetric",
        "cpu": "Stream Event",
        "futures": "Future",
        "jit": "JITException fork wait",
        "_C": "DispatchKey DispatchKeySet DisableTorchFunctionSubclass Tag",
        "random": "thread_safe_generator",
        "symbols": "sym_fresh_size",
        "settings": "get_autocast_ipu_dtype get_autocast_xla_dtype get_file_path",
        "cuda": "AcceleratorError",
        "_utils": "classproperty",
        "trace.overrides": "DisableTorchFunction",
    },
    "nn.functional": {
        "trace.tensor": "Tensor",
        "overrides": "handle_torch_function has_torch_function has_torch_function_unary has_torch_function_variadic",
        "nn.modules.utils": "assert_int_or_pair",
        "ops.scaled_products": "ScalingType SwizzleType",
        "torch": "tanh",
    },
    "nn.utils.parametrize": {"utils._python_dispatch": "is_traceable_wrapper_subclass",
                             "__future__": "get_swap_module_params_on_conversion"},
    "optim": {"optim.stateless": "swap_in_optimizer_params_and_state"},
    "optim.lr_scheduler": {"trace.tensor": "Tensor"},
    "fft": {"trace.tensor": "Tensor"},
    "special": {"trace.tensor": "Tensor"},
    "autograd": {
        "overrides": "handle_torch_function has_torch_function is_tensor_like",
        "profiler": "kineto_available",
    },
    "autograd.profiler": {"futures": "Future", "profiler": "KinetoStepTracker kineto_available"},
    "profiler": {"optim": "Optimizer", "optim.optimizer": "register_optimizer_step_post_hook"},
    "distributions.transforms": {
        "trace.tensor": "Tensor", "distributions": "Distribution", "nn.functional": "pad softplus",
        "distributions.utils": "broadcast_all lazy_property tril_matrix_to_vec vec_to_tril_matrix",
    },
    "types": {"_C": "DispatchKey", "symbols": "SymBool SymFloat SymInt", "storage": "Storage"},
    "serialization": {
        "storage": "Storage",
        "serialization_options": "LoadEndianness SourceChangeWarning StorageType check_module_version_greater_or_equal "
                                 "default_restore_location get_crc32_options get_default_load_endianness "
                                 "get_default_mmap_options get_source_lines_and_file get_unsafe_globals_in_checkpoint "
                                 "location_tag mkdtemp normalize_storage_type register_package set_crc32_options "
                                 "set_default_load_endianness set_default_mmap_options skip_data storage_to_tensor_type "
                                 "validate_cuda_device validate_hpu_device",
    },
    "backends.cuda": {"nn.attention": "SDPBackend"},
    "jit": {"futures": "Future"},
    "cuda": {"_utils": "classproperty"},
    "library": {"ops.namespaces": "OpOverload"},
    "mps": {"trace.tensor": "Tensor"},
}

# {namespace: {name: what the function answers, whatever it is given}}
_NOTHING = dict.fromkeys
CONSTANT: dict[str, dict[str, Any]] = {
    "torch": {
        "is_autocast_ipu_enabled": False, "is_autocast_xla_enabled": False, "cudnn_is_acceptable": False,
        **_NOTHING("init_num_threads prepare_multiprocessing_environment set_autocast_ipu_dtype set_autocast_ipu_enabled "
                   "set_autocast_xla_dtype set_autocast_xla_enabled".split()),
    },
    "autograd": {"is_multithreading_enabled": True, "is_view_replay_enabled": False},
    "profiler": {"is_fbcode": False},
    "nn.utils.parametrize": {"is_opaque_reference_type": False},
    "nn.attention": {"can_use_efficient_attention": False, "can_use_flash_attention": False, "current_flash_attention_impl": None, "list_flash_attention_impls": [],
                     "restore_flash_attention_impl": None},
    "backends.cuda": {
        "is_ck_sdpa_available": False, "is_flash_attention_available": False, "can_use_cudnn_attention": False,
        "can_use_efficient_attention": False, "can_use_flash_attention": False,
        **_NOTHING("preferred_blas_library preferred_linalg_library preferred_rocm_fa_library".split()),
    },
    "cuda": {
        "get_arch_list": [], "get_gencode_flags": "", "is_tf32_supported": False, "max_memory_cached": 0, "memory_cached": 0,
        "host_memory_stats": {}, "host_memory_stats_as_nested_dict": {}, "memory_stats_as_nested_dict": {},
        "is_current_stream_capturing": False,
        **_NOTHING("caching_allocator_enable seed seed_all set_rng_state reset_accumulated_memory_stats reset_max_memory_allocated "
                   "reset_max_memory_cached reset_accumulated_host_memory_stats reset_peak_host_memory_stats".split()),
    },
    "xpu": {
        "get_arch_list": [], "get_gencode_flags": "", "is_tf32_supported": False, "get_rng_state_all": [],
        "memory_stats": {}, "memory_stats_as_nested_dict": {},
        **dict.fromkeys("max_memory_allocated max_memory_reserved memory_allocated memory_reserved".split(), 0),
        **_NOTHING("manual_seed manual_seed_all seed seed_all set_rng_state set_rng_state_all reset_accumulated_memory_stats "
                   "reset_peak_memory_stats".split()),
    },
    "mps": {"is_available": False, "device_count": 0},
    "distributed": {
        f"is_{name}_available": False for name in "backend gloo mpi nccl ucc xccl".split()
    },
    "jit": {"export_opnames": [], "onednn_fusion_enabled": False, "last_executed_optimized_graph": None,
            **_NOTHING("enable_onednn_fusion set_fusion_strategy set_module".split())},
    "onnx": _NOTHING(["unregister_custom_op_symbolic"]),
}

# Values that are no functions.
VALUES: dict[str, dict[str, Any]] = {
    "nn.attention": {"WARN_FOR_UNFUSED_KERNELS": False},
    "cuda": {"has_half": True, "has_magma": False, "default_generators": ()},
    "xpu": {"default_generators": ()},
}

# {namespace: (what their error says, functions, classes)}
_CUDA_TENSORS = " ".join(f"{kind}{what}" for what in ("Tensor", "Storage") for kind in
                         "BFloat16 Bool Byte Char Double Float Half Int Long Short".split())
REFUSED: dict[str, tuple[str, str, str]] = {
    "jit": (
        "there is no TorchScript here: programs that repeat are compiled as they are", "",
        "CompilationUnit RecursiveScriptClass RecursiveScriptModule TopLevelTracedModule TracedModule",
    ),
    "torch": (
        "the kernel of a GPU's library: call the operation of torch or torch.nn.functional itself",
        "cudnn_affine_grid_generator cudnn_batch_norm cudnn_convolution cudnn_convolution_add_relu cudnn_convolution_relu "
        "cudnn_convolution_transpose cudnn_grid_sampler miopen_batch_norm miopen_convolution miopen_convolution_add_relu "
        "miopen_convolution_relu miopen_convolution_transpose miopen_ctc_loss miopen_depthwise_convolution miopen_rnn", "",
    ),
    "accelerator": (
        "Cannot access accelerator device when none is available.",
        "current_device_idx current_device_index current_stream empty_cache empty_host_cache get_device_capability "
        "get_memory_info max_memory_allocated max_memory_reserved memory_allocated memory_reserved memory_stats "
        "reset_accumulated_memory_stats reset_peak_memory_stats set_device_idx set_device_index set_stream synchronize",
        "Graph device_index",
    ),
    "cuda": (
        "",  # NoCuda's own
        "caching_allocator_alloc caching_allocator_delete caching_allocator_disabled can_device_access_peer "
        "change_current_allocator check_error clock_rate cudart current_blas_handle current_solver_handle device_memory_used "
        "get_allocator_backend get_per_process_memory_fraction get_rng_state get_stream_from_external get_sync_debug_mode "
        "graph_pool_handle init initial_seed ipc_collect list_gpu_processes make_graphed_callables memory_snapshot "
        "memory_summary memory_usage power_draw set_per_process_memory_fraction set_stream set_sync_debug_mode temperature "
        "use_mem_pool utilization",
        f"{_CUDA_TENSORS} ComplexDoubleStorage ComplexFloatStorage CUDAPluggableAllocator ExternalStream GreenContext MemPool "
        "cudaStatus device_of",
    ),
    "xpu": (
        "Rushlight found no XPU device: this version computes on the CPU only.",
        "can_device_access_peer change_current_allocator clock_rate current_device current_stream device_memory_used "
        "get_device_capability get_device_name get_device_properties get_per_process_memory_fraction get_rng_state "
        "get_stream_from_external graph_pool_handle init initial_seed make_graphed_callables mem_get_info memory_snapshot "
        "memory_usage power_draw set_device set_per_process_memory_fraction set_stream stream synchronize temperature "
        "use_mem_pool utilization",
        "Event MemPool Stream StreamContext XPUGraph XPUPluggableAllocator device device_of graph",
    ),
    "mps": (
        "Rushlight found no MPS device: this version computes on the CPU only.",
        "compile_shader current_allocated_memory driver_allocated_memory empty_cache get_rng_state load_metallib manual_seed "
        "recommended_max_memory seed set_per_process_memory_fraction set_rng_state synchronize",
        "Event",
    ),
    "backends.mps": (
        "Rushlight found no MPS device: this version computes on the CPU only.",
        "get_core_count get_name is_macos13_or_newer is_macos_or_newer", "",
    ),
    "backends.cuda": ("", "blas_workspace_size cublas_workspace_size cublaslt_workspace_size",
                      "SDPAParams cuBLASModule cuFFTPlanCache cuFFTPlanCacheAttrContextProp cuFFTPlanCacheManager"),
    "nn.attention": (
        "there is one attention kernel, which is compiled for each program: no other can be registered",
        "activate_flash_attention_impl register_flash_attention_impl", "SDPAParams",
    ),
    "autograd": (
        "torch.autograd.variable is deprecated: use torch.tensor, and torch.autograd.Function for functions",
        "variable", "NestedIOFunction",
    ),
    "profiler": ("only the operators' own events are recorded: use torch.profiler.profile", "", "ExecutionTraceObserver"),
    "autograd.profiler": ("traces of other vendors' tools are not read here", "load_nvprof parse_nvprof_trace", ""),
    "nn.parallel": (
        "there is one device: call the module itself",
        "data_parallel gather parallel_apply replicate scatter", "DistributedDataParallelCPU",
    ),
    "library": (
        "custom operators are Python functions here: torch.library.custom_op makes one, which is compiled with the program",
        "triton_op wrap_triton get_kernel", "",
    ),
}

# {namespace, or namespace and name: why it is missing}
MISSING: dict[str, str] = {
    "distributed": "not there yet (planned): programs run in one process, whose threads use all processors",
    "export": "not planned: programs are recorded and compiled as they run. torch.fx.symbolic_trace gives a module's graph",
    "package": "not planned: no code is loaded from files. Save the state_dict, and build the model from its class",
    "quantization": "planned. Until then weights can be kept in bfloat16 or in 8-bit floats (tensor.to(dtype))",
    "ao.quantization": "planned. Until then weights can be kept in bfloat16 or in 8-bit floats (tensor.to(dtype))",
    "utils.cpp_extension": "not planned: nothing native is loaded. Write the operator in Python (torch.autograd.Function, "
                           "torch.library.custom_op); it is compiled with the program",
    "monitor": "not planned: torch.profiler and torch.utils.tensorboard record what happens",
    "utils.benchmark": "not there: Timer, Measurement and Compare are",
    "torch quasirandom": "not there: scipy.stats.qmc.Sobol has such points",
    "jit": "not planned: there is no TorchScript. Programs that repeat are compiled as they are",
    "onnx": "not there yet (planned): save the weights; PyTorch reads them, and exports",
    "testing": "not planned: a tool of PyTorch's own tests",
    "mps": "this version computes on the CPU only",
    "xpu": "this version computes on the CPU only",
    "cuda": "this version computes on the CPU only; CUDA devices are planned",
}
for _why, _names in {
    "an inner class of TorchScript, which is not planned": (
        "AliasDb AnyType Argument ArgumentSpec AwaitType Block BoolType BufferDict CallStack Capsule ClassType Code "
        "CompilationUnit CompleteArgumentSpec ComplexType ConcreteModuleType DictType EnumType ErrorReport ExecutionPlan "
        "FloatType FunctionSchema FutureType Gradient Graph IntType InterfaceType LiteScriptModule ListType NoneType NumberType "
        "OptionalType ScriptClass ScriptDict ScriptList ScriptMethod ScriptObject StringType TensorType TracingState TupleType "
        "Type UnionType Use Value import_ir_module merge_type_from_type_comment parse_ir parse_schema parse_type_comment "
        "unify_type_list"),
    "a kernel of a library that is not used here: call the operation of torch or torch.nn.functional itself": (
        "mkldnn_adaptive_avg_pool2d mkldnn_convolution mkldnn_linear_backward_weights mkldnn_max_pool2d mkldnn_max_pool3d "
        "mkldnn_rnn_layer"),
    "planned with quantised tensors, which are not there yet": (
        "quantize_per_tensor quantize_per_channel quantize_per_tensor_dynamic quantized_batch_norm quantized_gru "
        "quantized_gru_cell quantized_lstm quantized_lstm_cell quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d "
        "quantized_rnn_relu_cell quantized_rnn_tanh_cell empty_quantized int_repr q_scale q_zero_point q_per_channel_axis "
        "q_per_channel_scales q_per_channel_zero_points fbgemm_linear_fp16_weight fbgemm_linear_int8_weight "
        "fbgemm_pack_gemm_matrix_fp16 fused_moving_avg_obs_fake_quant"),
}.items():
    MISSING.update({f"torch {name}": _why for name in _names.split()})


def _home(path: str) -> str:
    return "rushlight" if path == "torch" else f"rushlight.{path}"


def _named(make: Any, space: str, name: str, text: str) -> Any:
    make.__name__ = make.__qualname__ = name
    make.__module__ = _home(space)
    make.__doc__ = text
    return make


def _constant(space: str, name: str, value: Any) -> Callable:
    """A function that always answers the same."""
    def answer(*args: Any, **kwargs: Any) -> Any:
        return type(value)(value) if isinstance(value, (list, dict)) else value

    return _named(answer, space, name, "Accepted, without effect." if value is None else f"{value!r}.")


def _error(text: str) -> Exception:
    from .trace.device import NoCuda

    return RuntimeError(text) if text else NoCuda()


def _refusing(space: str, name: str, text: str, is_class: bool) -> Any:
    """A function or class that raises when it is called."""
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise _error(text and f"{'' if space == 'torch' else 'torch.'}{space}.{name}: {text}")

    doc = f"A name only{': ' + text if text else ''}. Raises RuntimeError when called."
    if not is_class:
        return _named(refuse, space, name, doc)
    return _named(type(name, (), {"__init__": refuse}), space, name, doc)


def find(space: str, name: str) -> Any:
    """What `name` is in a namespace ("nn.functional", "torch"). AttributeError if it is nothing, with the reason."""
    for home, names in TAKEN.get(space, {}).items():
        if name in names.split():
            return getattr(import_module(_home(home)), name)
    if name in CONSTANT.get(space, {}):
        return _constant(space, name, CONSTANT[space][name])
    if name in VALUES.get(space, {}):
        return VALUES[space][name]
    text, functions, classes = REFUSED.get(space, ("", "", ""))
    if name in functions.split() or name in classes.split():
        return _refusing(space, name, text, name in classes.split())
    why = ""
    if not name.startswith("_"):
        why = MISSING.get(f"{space} {name}") or MISSING.get(space, "")
    raise AttributeError(f"module '{_home(space)}' has no attribute '{name}'{': ' + why if why else ''}")


def finder(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module of this package: what is found is kept in it."""
    space = module.removeprefix("rushlight").lstrip(".") or "torch"

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        found = find(space, name)
        setattr(sys.modules[module], name, found)
        return found

    return __getattr__


__all__ = ["find", "finder"]
