"""The predictor of Dynamic Speculative Planning: how many steps will match, from text.

A regression of run lengths on the text of a task and its steps, by expectiles, in PyTorch:
imported when one is made. The published one fine-tunes DistilBERT with AdamW at 1e-5. Ours by
default is far smaller and starts from nothing: a bag of embedded byte n-grams and two layers, which
therefore takes steps of 1e-3. Any encoder of Hugging Face can stand in, by name, with the published
rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import numpy as np

from ..transition import Floats
from .encoder import load

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH: Final = 16
"""States per gradient step, as published."""

_ROWS: Final = 1 << 12  # of the table of embedded n-grams
_WIDTH: Final = 32
_LONGEST: Final = 4  # bytes of an n-gram
_READ: Final = 512  # last characters of a text that are read


class RunLengthModel:
    """Expectiles of the number of steps that will match, from text.

    Args:
        tau: the expectile, in [0.5, 1): 0.5 is the mean.
        encoder: name of a text encoder of Hugging Face on this machine; "" for ours.
        seed: of the first weights and of the order in which is learned.

    Raises:
        ValueError: if the encoder cannot be loaded, saying why.
    """

    def __init__(self, tau: float, encoder: str = "", seed: int = 0) -> None:
        import torch

        self._tau = tau
        self._small = not encoder
        self._rng = np.random.default_rng(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._network, rate = (_pretrained(encoder), 1e-5) if encoder else (_byte_grams(), 1e-3)
        self._optimizer = torch.optim.AdamW(self._network.parameters(), lr=rate)

    def predict(self, texts: Sequence[str]) -> Floats:
        """Predicted run lengths, in steps, shape (n,)."""
        import torch

        with torch.no_grad(), self._threads():
            values: Floats = self._network(list(texts)).double().numpy()
        return values

    def learn(self, texts: Sequence[str], targets: Floats) -> float:
        """One pass over states in random order, in batches.

        Args:
            texts: of the states.
            targets: run lengths to be told of them, shape (n,).

        Returns:
            The mean loss.
        """
        import torch

        order, losses = self._rng.permutation(len(texts)), []
        with self._threads():
            for start in range(0, len(texts), BATCH):
                index = order[start : start + BATCH]
                predicted = self._network([texts[i] for i in index])
                miss = torch.from_numpy(targets[index]).float() - predicted
                weight = torch.where(miss > 0.0, self._tau, 1.0 - self._tau)
                loss = 2.0 * (weight * miss.square()).mean()
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
                losses.append(loss.item())
        return float(np.mean(losses))

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """One thread for our small network: more of them would only wait for one another."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1 if self._small else before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _byte_grams() -> nn.Module:
    """Embedded byte n-grams, their mean, two layers."""
    import torch
    from torch import nn

    class ByteGrams(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag = nn.EmbeddingBag(_ROWS, _WIDTH, mode="mean")
            self.head = nn.Sequential(nn.Linear(_WIDTH, 64), nn.ReLU(), nn.Linear(64, 1))

        def forward(self, texts: list[str]) -> Tensor:
            grams = [byte_grams(text) for text in texts]
            offsets = np.cumsum([0] + [len(g) for g in grams[:-1]])
            places = torch.from_numpy(np.concatenate(grams))
            pooled = self.bag(places, torch.from_numpy(offsets))
            values: Tensor = self.head(pooled)[:, 0]
            return values

    return ByteGrams()


def _pretrained(name: str) -> nn.Module:
    """An encoder of Hugging Face, its states' mean, one layer; all of it is trained."""
    import torch
    from torch import nn

    tokenizer, encoder = load(name)

    class Pretrained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.head = nn.Linear(encoder.config.hidden_size, 1)

        def forward(self, texts: list[str]) -> Tensor:
            inputs: Any = tokenizer(
                texts, return_tensors="pt", padding=True, truncation=True, max_length=256
            )
            states = self.encoder(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            values: Tensor = self.head(mean)[:, 0]
            return values

    with torch.no_grad():
        return Pretrained()


@lru_cache(maxsize=16384)
def byte_grams(text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of a text's byte n-grams, n from 1 to 4, those of its end; int64, shape (g,)."""
    data = text[-_READ:].encode("utf-8", "surrogatepass") or b"\0"
    return np.array(
        [
            crc32(data[i : i + n]) % _ROWS
            for n in range(1, _LONGEST + 1)
            for i in range(max(len(data) - n + 1, 0))
        ],
        np.int64,
    )
