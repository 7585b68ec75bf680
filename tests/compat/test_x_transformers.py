"""x-transformers: a decoder in training, and greedy generation."""

from compat.programs import needs, same

needs("x_transformers", "einops", "einx", "loguru", "torch_einops_utils")


def test_decoder_trains_and_generates(tmp_path):
    same("""
        from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper
        net = fill(AutoregressiveWrapper(TransformerWrapper(
            num_tokens=20, max_seq_len=32, attn_layers=Decoder(dim=32, depth=2, heads=2, rotary_pos_emb=True))))
        tokens = torch.arange(64).reshape(2, 32) % 20
        numbers["losses"] = train(net, lambda: net(tokens))
        numbers["generated"] = net.generate(tokens[:, :4], 6, temperature=0.0)
    """, tmp_path)
