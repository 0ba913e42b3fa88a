"""Token windows for training: documents of all classes, mixed and packed, in a fixed order."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..agents.world import ROLES
from . import corpus, tokenizer
from .corpus import Document

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Tokens = NDArray[np.uint16]

# Of the windows that hold no transcripts. Those that do are filled up with code and prose where
# the next transcript does not fit, so half of the windows are about 43 % of the tokens.
CODE_SHARE = 0.68

_ROLES = np.array([tokenizer.SPECIAL.index(f"<|{role}|>") for role in ROLES])
_AGENT = tokenizer.SPECIAL.index("<|assistant|>")


@dataclass
class Cursors:
    """How far a mixture has been read: all its state, so that training resumes exactly.

    Attributes:
        window: Windows given so far.
        tool_calls: Transcripts given so far.
        code: Tokens of code given so far.
        prose: Tokens of prose given so far.
    """

    window: int = 0
    tool_calls: int = 0
    code: int = 0
    prose: int = 0

    def state(self) -> dict[str, int]:
        """As plain data."""
        return asdict(self)


class Mixture:
    """An endless, reproducible series of windows of token ids.

    Transcripts stay whole (unless longer than a window); code and prose are read as one long
    text each, documents in shuffled order, with an end-of-text token after each.
    """

    def __init__(self, calls: list[Tokens], code: Tokens, prose: Tokens, seed: int = 0) -> None:
        self.calls = calls
        self.code = code
        self.prose = prose
        self.seed = seed
        self.cursors = Cursors()

    def batch(self, windows: int, length: int, tool_calls: float = 0.5) -> NDArray[np.int64]:
        """Return the next windows, (windows, length) token ids.

        Args:
            windows: How many.
            length: Tokens in each.
            tool_calls: Share of windows that hold transcripts.
        """
        rows = [self._window(length, tool_calls) for _ in range(windows)]
        return np.stack(rows).astype(np.int64)

    def _window(self, length: int, tool_calls: float) -> Tokens:
        rng = random.Random(f"{self.seed}/{self.cursors.window}")
        self.cursors.window += 1
        code = (1 - tool_calls) * CODE_SHARE
        shares = (tool_calls, code, 1 - tool_calls - code)
        kind = rng.choices(("tool_calls", "code", "prose"), shares)[0]
        parts = self._calls(length) if kind == "tool_calls" else []
        missing = length - sum(len(part) for part in parts)
        if missing:
            filler = kind if kind != "tool_calls" else rng.choice(("code", "prose", "code"))
            part = self._code(missing) if filler == "code" else self._prose(missing)
            # The filler first half of the time: transcripts must not always begin a window.
            parts.insert(0 if rng.random() < 0.5 else len(parts), part)
        return np.concatenate(parts)

    def _calls(self, length: int) -> list[Tokens]:
        parts: list[Tokens] = []
        while True:
            call = self.calls[self.cursors.tool_calls % len(self.calls)][:length]
            if len(call) > length - sum(len(part) for part in parts):
                return parts
            parts.append(call)
            self.cursors.tool_calls += 1

    def _code(self, length: int) -> Tokens:
        at, self.cursors.code = self.cursors.code, self.cursors.code + length
        return np.take(self.code, range(at, at + length), mode="wrap")

    def _prose(self, length: int) -> Tokens:
        at, self.cursors.prose = self.cursors.prose, self.cursors.prose + length
        return np.take(self.prose, range(at, at + length), mode="wrap")


def weights(tokens: NDArray[np.int64], given: float) -> NDArray[np.float32]:
    """Weigh the tokens of windows for the loss.

    Args:
        tokens: Token ids (windows, length).
        given: Weight of the tokens of a transcript that are not the agent's own.

    Returns:
        (windows, length): `given` after a role's mark other than the agent's, up to the next mark
        or the end of the text; 1 elsewhere.
    """
    marks = np.isin(tokens, _ROLES) | (tokens == tokenizer.END_OF_TEXT_ID)
    places = np.where(marks, np.arange(tokens.shape[1]), 0)
    # The mark is given, too: what counts is the last one before a token.
    last = np.maximum.accumulate(places, axis=1)[:, :-1]
    mark = np.take_along_axis(tokens, last, axis=1)
    mine = ~np.isin(mark, _ROLES) | (mark == _AGENT)
    kept = np.ones(tokens.shape, np.float32)
    kept[:, 1:][~mine] = given
    return kept


def encode(reader: Tokenizer, documents: Iterable[Document]) -> list[Tokens]:
    """Tokenize documents, each with an end-of-text token after it."""
    encoded = reader.encode_batch([document.text for document in documents])
    return [np.array([*one.ids, tokenizer.END_OF_TEXT_ID], np.uint16) for one in encoded]


def encode_training(reader: Tokenizer, transcripts: int) -> dict[str, list[Tokens]]:
    """Tokenize everything that is not held out, by class."""
    documents = {
        "code": [document for document in corpus.code() if not document.held_out],
        "prose": [document for document in corpus.prose() if not document.held_out],
        "tool_calls": list(corpus.tool_calls(0, transcripts)),
    }
    return {name: encode(reader, found) for name, found in documents.items()}


def mixture(encoded: Mapping[str, list[Tokens]], seed: int = 0) -> Mixture:
    """Return the mixture of tokenized documents, in the seed's order."""
    shuffled = {name: list(found) for name, found in encoded.items()}
    for name, found in shuffled.items():
        random.Random(f"{seed}/{name}").shuffle(found)
    code, prose = (np.concatenate(shuffled[name]) for name in ("code", "prose"))
    return Mixture(shuffled["tool_calls"], code, prose, seed)
