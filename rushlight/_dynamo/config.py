"""torch._dynamo.config: options of PyTorch's compiler; they may be set, and change nothing here."""

verbose = False
suppress_errors = False
cache_size_limit = recompile_limit = 8
accumulated_cache_size_limit = accumulated_recompile_limit = 256
assume_static_by_default = True
automatic_dynamic_shapes = True
capture_scalar_outputs = False
capture_dynamic_output_shape_ops = False
specialize_int = False
optimize_ddp = True
