"""BERT (Devlin et al.: Pre-training of deep bidirectional transformers for language understanding, 2018)."""

from __future__ import annotations

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

EPS = 1e-12


class Embeddings(nn.Module):
    """The sum of vectors for a token, its place, and which of two sentences it is in."""

    def __init__(self, vocab_size: int, width: int, places: int, types: int, dropout: float):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(places, width)
        self.token_type_embeddings = nn.Embedding(types, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens, types):
        places = torch.arange(tokens.shape[1])
        x = self.word_embeddings(tokens) + self.position_embeddings(places) + self.token_type_embeddings(types)
        return self.dropout(self.LayerNorm(x))


class SelfAttention(nn.Module):
    """Queries, keys and values; each place looks at all places that the mask leaves."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.p = heads, dropout
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, mask):
        batch, length, width = x.shape
        q, k, v = (f(x).view(batch, length, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v, mask, self.p if self.training else 0.0)
        return y.transpose(1, 2).reshape(batch, length, width)


class Output(nn.Module):
    """A layer norm of x + a linear layer."""

    def __init__(self, inputs: int, width: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, y, x):
        return self.LayerNorm(x + self.dropout(self.dense(y)))


class Layer(nn.Module):
    """Attention, then a network of two layers for each place; a layer norm after each."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(width, heads, dropout), "output": Output(width, width, dropout)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = Output(hidden, width, dropout)

    def forward(self, x, mask):
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class BERT(nn.Module):
    """A text encoder; BERT-base by default, with 110 million parameters.

    tokens: (N, L) int64. attention_mask: (N, L), 1 for tokens and 0 for padding. token_type_ids: (N, L), 0 or 1. Returns the
    last layer's vectors (N, L, hidden_size) and the pooled first ones (N, hidden_size), or None in their place.

    >>> from rushlight.models import BERT
    >>> net = BERT(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    >>> [x.shape for x in net(torch.tensor([[3, 1, 4], [1, 5, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]))]
    [torch.Size([2, 3, 32]), torch.Size([2, 32])]
    """

    def __init__(self, vocab_size: int = 30522, hidden_size: int = 768, num_hidden_layers: int = 12,
                 num_attention_heads: int = 12, intermediate_size: int = 3072, max_position_embeddings: int = 512,
                 type_vocab_size: int = 2, dropout: float = 0.1, pooler: bool = True):
        super().__init__()
        self.embeddings = Embeddings(vocab_size, hidden_size, max_position_embeddings, type_vocab_size, dropout)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(
            Layer(hidden_size, num_attention_heads, intermediate_size, dropout) for _ in range(num_hidden_layers))})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(hidden_size, hidden_size)}) if pooler else None
        self.apply(_initialize)
        self.register_load_state_dict_pre_hook(_as_published)

    def forward(self, tokens, attention_mask=None, token_type_ids=None):
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
        x = self.embeddings(tokens, torch.zeros_like(tokens) if token_type_ids is None else token_type_ids)
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return x, None if self.pooler is None else torch.tanh(self.pooler["dense"](x[:, 0]))


class BERTMaskedLM(nn.Module):
    """BERT as it is trained: scores (N, L, vocab_size) of what stands, or stood before it was masked, at each place.

    Arguments as BERT's.

    >>> from rushlight.models import BERTMaskedLM
    >>> net = BERTMaskedLM(vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
    >>> net(torch.tensor([[3, 1, 4]])).shape
    torch.Size([1, 3, 50])
    """

    def __init__(self, vocab_size: int = 30522, hidden_size: int = 768, **options):
        super().__init__()
        self.bert = BERT(vocab_size, hidden_size, pooler=False, **options)
        self.cls = nn.ModuleDict({"predictions": _Predictions(vocab_size, hidden_size)})
        self.cls.apply(_initialize)
        self.cls["predictions"].decoder.weight = self.bert.embeddings.word_embeddings.weight
        self.register_load_state_dict_pre_hook(_as_published)

    def forward(self, tokens, attention_mask=None, token_type_ids=None):
        return self.cls["predictions"](self.bert(tokens, attention_mask, token_type_ids)[0])


class _Predictions(nn.Module):
    def __init__(self, vocab_size: int, width: int):
        super().__init__()
        self.transform = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=EPS)})
        self.decoder = nn.Linear(width, vocab_size)
        self.bias = self.decoder.bias  # saved under both names

    def forward(self, x):
        return self.decoder(self.transform["LayerNorm"](F.gelu(self.transform["dense"](x))))


def _as_published(module, state, prefix, *_):
    """Accept published weights: older names of layer norms, and parts of the whole model that `module` does not have."""
    alone = isinstance(module, BERT)
    absent = ("bert.pooler.", "cls.seq_relationship.")
    if alone:
        absent = ("cls.", "pooler.") if module.pooler is None else ("cls.",)
    published = any(n.startswith(prefix + "bert.") for n in state)
    for name in [n for n in state if n.startswith(prefix)]:
        own = name[len(prefix):]
        own = own.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if alone:
            own = own.removeprefix("bert.")
        x = state.pop(name)
        if not (published and own.startswith(absent) or own.endswith("embeddings.position_ids")):
            state[prefix + own] = x
    if not alone and prefix + "bert.embeddings.word_embeddings.weight" in state:  # saved once
        for own, same in (("decoder.weight", "bert.embeddings.word_embeddings.weight"), ("decoder.bias", "cls.predictions.bias")):
            if prefix + same in state:
                state.setdefault(f"{prefix}cls.predictions.{own}", state[prefix + same])


def _initialize(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


__all__ = ["BERT", "BERTMaskedLM"]
