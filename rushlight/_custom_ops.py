"""torch._custom_ops: a name that libraries import beside torch.library, which defines operators."""
