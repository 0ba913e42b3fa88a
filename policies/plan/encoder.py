"""Text-embedding models of Hugging Face as encoders of tasks and actions."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import numpy as np

from ..spaces import Array

_KEPT: Final = 4096  # vectors that are remembered


class HuggingFaceEncoder:
    """Mean of an encoder's last hidden states, scaled to length 1; loaded from local files only.

    Args:
        name: of a model that is on this machine already, or its folder.
        tokens: of a text that are read at most.

    Raises:
        ValueError: if it cannot be loaded, saying why.
    """

    def __init__(self, name: str, tokens: int = 256) -> None:
        self._tokenizer, self._model = load(name)
        self._tokens = tokens
        self._vectors: OrderedDict[str, Array] = OrderedDict()

    @property
    def size(self) -> int:
        """Length of its vectors."""
        return int(self._model.config.hidden_size)

    def encode(self, text: str) -> Array:
        """A float32 vector of shape (size,), of length 1; the latest texts' are remembered."""
        if text not in self._vectors:
            self._vectors[text] = self._encode(text)
            while len(self._vectors) > _KEPT:
                self._vectors.popitem(last=False)
        return self._vectors[text]

    def _encode(self, text: str) -> Array:
        import torch

        inputs = self._tokenizer(
            text or " ", return_tensors="pt", truncation=True, max_length=self._tokens
        )
        with torch.no_grad():
            states = self._model(**inputs).last_hidden_state[0]
        mean: Array = states.mean(0).float().numpy()
        return mean / np.float32(max(float(np.linalg.norm(mean)), 1e-6))


def load(name: str) -> tuple[Any, Any]:
    """A tokenizer and a model from local files.

    Raises:
        ValueError: if they cannot be loaded, saying why.
    """
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=True)
        model = AutoModel.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError) as e:
        raise ValueError(f"no text encoder {name!r} on this machine: {e}") from None
    return tokenizer, model.eval()
