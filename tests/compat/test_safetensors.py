"""safetensors.torch: files of tensors, written and read."""

from compat.programs import needs, same

needs("safetensors")


def test_round_trip(tmp_path):
    same("""
        from safetensors import safe_open
        from safetensors.torch import load, load_file, load_model, save, save_file, save_model
        tensors = {"a": data(3, 4), "b": torch.arange(5), "c": data(2, 2).bfloat16(),
                   "d": torch.tensor([True, False]), "e": data(6).half()}
        save_file(tensors, "t.safetensors", metadata={"made": "here"})
        for name, value in {**load_file("t.safetensors")}.items():
            numbers[name] = value.float()
            numbers[name + " dtype"] = str(value.dtype)
        numbers["bytes"] = list(save(tensors))
        numbers["loaded"] = load(save(tensors))["a"]
        with safe_open("t.safetensors", framework="pt") as file:
            numbers["slice"] = file.get_slice("a")[1:, :2]
            numbers["made"] = file.metadata()["made"]
        net, other = torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)
        save_model(fill(net), "m.safetensors")
        load_model(other, "m.safetensors")
        numbers["weight"] = other.weight
    """, tmp_path)
