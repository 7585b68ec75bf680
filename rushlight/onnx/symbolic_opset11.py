"""torch.onnx.symbolic_opset11: a name that libraries import; nothing is exported, so nothing is in it."""
