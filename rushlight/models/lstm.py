"""A language model of LSTM layers (Zaremba, Sutskever, Vinyals: Recurrent neural network regularization, 2014)."""

from __future__ import annotations

from rushlight import nn


class LSTMLanguageModel(nn.Module):
    """Tokens to vectors, LSTM layers with dropout between them, scores of the next token.

    tokens: (L, N) int64, time first. state: what a call returned, to go on from there. Returns scores (L, N, vocab_size) and the
    state. tied: the scores' matrix is the table of vectors (ValueError unless both have the same width).

    >>> from rushlight.models import LSTMLanguageModel
    >>> net = LSTMLanguageModel(50, 16, 16, layers=2, tied=True)
    >>> scores, state = net(torch.tensor([[3, 1], [4, 1], [5, 9]]))
    >>> scores.shape, state[0].shape
    (torch.Size([3, 2, 50]), torch.Size([2, 2, 16]))
    """

    def __init__(self, vocab_size: int, embedding: int = 200, hidden: int = 200, layers: int = 2, dropout: float = 0.2,
                 tied: bool = False):
        super().__init__()
        if tied and embedding != hidden:
            raise ValueError(f"a tied table needs embedding and hidden of the same width, got {embedding} and {hidden}")
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, embedding)
        self.rnn = nn.LSTM(embedding, hidden, layers, dropout=dropout)
        self.decoder = nn.Linear(hidden, vocab_size)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        if tied:
            self.decoder.weight = self.encoder.weight

    def forward(self, tokens, state=None):
        x, state = self.rnn(self.drop(self.encoder(tokens)), state)
        return self.decoder(self.drop(x)), state


__all__ = ["LSTMLanguageModel"]
