"""GPT-2 (Radford et al.: Language models are unsupervised multitask learners, 2019)."""

from __future__ import annotations

import math

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


class Turned(nn.Module):
    """A linear layer whose weight is stored as (inputs, outputs), as GPT-2's are."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


class Attention(nn.Module):
    """Each place looks at itself and the places before."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.p = heads, dropout
        self.c_attn, self.c_proj = Turned(width, 3 * width), Turned(width, width)
        self.resid_dropout = nn.Dropout(dropout)

    def forward(self, x, past=None):
        batch, length, width = x.shape
        q, k, v = (t.view(batch, length, self.heads, -1).transpose(1, 2) for t in self.c_attn(x).split(width, 2))
        before = 0
        if past is not None:
            before = past[0].shape[2]
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        # With a cache, place i of x stands at i + before; a single new place may look at all.
        mask = None
        if before and length > 1:
            mask = torch.ones(length, before + length, dtype=torch.bool).tril(before)
        y = F.scaled_dot_product_attention(q, k, v, mask, self.p if self.training else 0.0, is_causal=not before)
        y = y.transpose(1, 2).reshape(batch, length, width)
        return self.resid_dropout(self.c_proj(y)), (k, v)


class MLP(nn.Module):
    """Two layers with a GELU (in tanh's form) between."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.c_fc, self.c_proj = Turned(width, 4 * width), Turned(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))


class Block(nn.Module):
    """x + attention, then x + the network for each place, each after a layer norm."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.ln_2, self.mlp = nn.LayerNorm(width), MLP(width, dropout)

    def forward(self, x, past=None):
        y, cache = self.attn(self.ln_1(x), past)
        x = x + y
        return x + self.mlp(self.ln_2(x)), cache


class GPT2(nn.Module):
    """A language model; the smallest of the published ones by default, with 124 million parameters.

    tokens: (N, L) int64, L at most n_positions. Returns scores (N, L, vocab_size) of each place's next token and, for each
    block, the keys and values that it computed; given as `past`, they are not computed again, and `tokens` are only the new ones.

    >>> from rushlight.models import GPT2
    >>> net = GPT2(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4).eval()
    >>> scores, past = net(torch.tensor([[3, 1, 4, 1]]))
    >>> scores.shape, torch.allclose(net(torch.tensor([[5]]), past)[0], net(torch.tensor([[3, 1, 4, 1, 5]]))[0][:, 4:], atol=1e-5)
    (torch.Size([1, 4, 50]), True)
    """

    def __init__(self, vocab_size: int = 50257, n_positions: int = 1024, n_embd: int = 768, n_layer: int = 12,
                 n_head: int = 12, dropout: float = 0.1):
        super().__init__()
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(vocab_size, n_embd), "wpe": nn.Embedding(n_positions, n_embd), "drop": nn.Dropout(dropout),
            "h": nn.ModuleList(Block(n_embd, n_head, dropout) for _ in range(n_layer)), "ln_f": nn.LayerNorm(n_embd),
        })
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight  # one table, to read tokens and to score them
        for table in (self.transformer["wte"], self.transformer["wpe"]):
            nn.init.normal_(table.weight, std=0.02)
        for block in self.transformer["h"]:  # what the blocks add to x begins small
            for layer in (block.attn.c_proj, block.mlp.c_proj):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * n_layer))
        self.register_load_state_dict_pre_hook(_as_published)

    def forward(self, tokens, past=None):
        parts = self.transformer
        before = 0 if past is None else past[0][0].shape[2]
        if before + tokens.shape[1] > parts["wpe"].num_embeddings:
            raise ValueError(f"{before + tokens.shape[1]} tokens, but the model has {parts['wpe'].num_embeddings} places")
        places = torch.arange(before, before + tokens.shape[1])
        x = parts["drop"](parts["wte"](tokens) + parts["wpe"](places))
        caches = []
        for i, block in enumerate(parts["h"]):
            x, cache = block(x, None if past is None else past[i])
            caches.append(cache)
        return self.lm_head(parts["ln_f"](x)), caches


MASKS = (".attn.bias", ".attn.masked_bias")  # constants that published files hold


def _as_published(module, state, prefix, *_):
    """Accept what published weights lack or have besides: names without `transformer.`, no lm_head, the causal masks."""
    for name in [n for n in state if n.startswith(prefix)]:
        own = name[len(prefix):]
        if own.endswith(MASKS):
            del state[name]
        elif own.startswith(("wte.", "wpe.", "h.", "ln_f.")):
            state[prefix + "transformer." + own] = state.pop(name)
    table = prefix + "transformer.wte.weight"
    if table in state:
        state.setdefault(prefix + "lm_head.weight", state[table])


__all__ = ["GPT2"]
