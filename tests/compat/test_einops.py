"""einops: rearrange, reduce, repeat, einsum, pack and its layers."""

from compat.programs import needs, same

needs("einops")


def test_functions(tmp_path):
    same("""
        from einops import einsum, pack, rearrange, reduce, repeat, unpack
        x = data(2, 4, 6, 3).requires_grad_()
        a = rearrange(x, "b (h p) (w q) c -> b (h w) (p q c)", p=2, q=3)
        b = reduce(x, "b h w c -> b c", "max") + reduce(x, "b h w c -> b c", "mean")
        c = repeat(x, "b h w c -> b (h r) w c", r=2)
        d = einsum(x, x, "b h w c, b h w d -> b c d")
        e, shapes = pack([x[:, 0], x[:, :, 0]], "b * c")
        f = unpack(e, shapes, "b * c")[1]
        loss = a.square().sum() + b.sum() + c.sin().sum() + d.sum() + f.cos().sum()
        loss.backward()
        numbers.update(a=a, b=b, c=c, d=d, e=e, f=f, loss=loss, grad=x.grad)
    """, tmp_path)


def test_layers_train(tmp_path):
    same("""
        from einops.layers.torch import EinMix, Rearrange, Reduce
        net = fill(torch.nn.Sequential(
            Rearrange("b c (h p) (w q) -> b h w (c p q)", p=2, q=2),
            EinMix("b h w c -> b h w d", weight_shape="c d", bias_shape="d", c=12, d=8),
            torch.nn.GELU(), Reduce("b h w d -> b d", "mean"), torch.nn.Linear(8, 5)))
        with torch.no_grad():
            net[1].bias.zero_(), net[4].bias.zero_()
        x, y = data(4, 3, 8, 8), torch.arange(4)
        numbers["losses"] = train(net, lambda: torch.nn.functional.cross_entropy(net(x), y))
    """, tmp_path)


def test_its_own_tests():
    """Those for NumPy and PyTorch, but for one that starts a process without the alias."""
    import subprocess
    import sys

    program = """
import os, sys
os.environ["EINOPS_TEST_BACKENDS"] = "numpy,torch"
import rushlight
rushlight.as_torch()
import einops, pytest
tests = os.path.join(os.path.dirname(einops.__file__), "tests")
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "not threading", tests]))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-3000:]
