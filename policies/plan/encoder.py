"""Text-embedding models of Hugging Face as encoders of tasks and actions."""

from __future__ import annotations

import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final

import numpy as np

from ..spaces import Array
from .features import Encoder

log = logging.getLogger("flyball")

_KEPT: Final = 4096  # vectors that are remembered
_WAITING: Final = 64  # texts that may wait: those beyond are asked for again by later decisions


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

    @property
    def size(self) -> int:
        """Length of its vectors."""
        return int(self._model.config.hidden_size)

    def encode(self, text: str) -> Array:
        """A float32 vector of shape (size,), of length 1."""
        import torch

        inputs = self._tokenizer(
            text or " ", return_tensors="pt", truncation=True, max_length=self._tokens
        )
        with torch.no_grad():
            states = self._model(**inputs).last_hidden_state[0]
        mean: Array = states.mean(0).float().numpy()
        return mean / np.float32(max(float(np.linalg.norm(mean)), 1e-6))


class RememberedEncoder:
    """The vectors of the latest texts, made in a thread of its own.

    Nobody waits: before a text's vector is there it is all zeros, of which nothing is learned. So
    it stays where the encoder fails, which is logged.

    Args:
        encoder: makes them.
        background: whether in a thread; else at once, which is repeatable.
        kept: texts that are remembered.
    """

    def __init__(self, encoder: Encoder, background: bool = True, kept: int = _KEPT) -> None:
        self._encoder = encoder
        self._kept = kept
        self._none: Array = np.zeros(encoder.size, np.float32)
        self._lock = Lock()
        self._vectors: OrderedDict[str, Array] = OrderedDict()
        self._waiting: set[str] = set()
        self._thread = ThreadPoolExecutor(1, "encoder") if background else None

    @property
    def size(self) -> int:
        """Length of its vectors."""
        return len(self._none)

    def encode(self, text: str) -> Array:
        """A float32 vector of shape (size,), not to be written to."""
        with self._lock:
            if text in self._vectors:
                self._vectors.move_to_end(text)
                return self._vectors[text]
            if self._thread is not None:
                if text not in self._waiting and len(self._waiting) < _WAITING:
                    self._waiting.add(text)
                    self._thread.submit(self._make, text)
                return self._none
        return self._make(text)

    def _make(self, text: str) -> Array:
        try:
            vector = self._encoder.encode(text)
        except Exception:  # a model of the user's, in a thread that nobody looks at
            log.exception("a text encoder failed: what it would have told is left out")
            vector = self._none
        with self._lock:
            self._vectors[text] = vector
            self._waiting.discard(text)
            while len(self._vectors) > self._kept:
                self._vectors.popitem(last=False)
        return vector


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
