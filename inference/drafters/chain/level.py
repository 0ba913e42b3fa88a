"""One model of a chain, with what its cache holds of every request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from .cache import Place, SlotCache
from .tokens import common

_SHORT: Final = 16
"""Tokens up to which a row is run together with all others, padded to the longest of them."""

_CHUNK: Final = 256
"""Tokens of a row per forward pass while it catches up."""


class Level:
    """A causal language model over slots.

    What a slot holds are the tokens whose keys and values are in the cache. A request is rolled
    back by shortening that list to what it has in common with the request's tokens.

    Args:
        name: what users call the model.
        model: a Hugging Face causal language model whose layers all attend to everything.
        slots: requests at a time.
        capacity: tokens of each.

    Attributes:
        held: by slot, the tokens in the cache, in order.
        settled: by slot, how many of them the target is known to have committed.
        passes: forward passes so far, those of catching up among them.
    """

    def __init__(self, name: str, model: Any, slots: int, capacity: int) -> None:
        self.name = name
        self.model = model
        self.capacity = capacity
        self.cache = SlotCache(model.config.get_text_config().num_hidden_layers, slots, capacity)
        self.held: list[list[int]] = [[] for _ in range(slots)]
        self.settled = [0] * slots
        self.passes = 0

    def settle(self, slot: int, committed: Sequence[int]) -> None:
        """Drop what a slot holds beyond what the target has committed."""
        held = self.held[slot]
        self.settled[slot] = common(held, committed, self.settled[slot])
        del held[self.settled[slot] :]

    def clear(self, slot: int) -> None:
        """Make a slot a new request's."""
        self.held[slot], self.settled[slot] = [], 0

    @torch.inference_mode()
    def share(self, source: int, slot: int, length: int) -> None:
        """Give a slot the beginning of what another one holds, as far as that is committed."""
        length = min(length, self.settled[source])
        if source != slot:
            self.cache.copy(source, slot, length)
        self.held[slot], self.settled[slot] = self.held[source][:length], length

    def read(
        self, slots: Sequence[int], texts: Sequence[Sequence[int]], ends: Sequence[int]
    ) -> list[list[int]]:
        """Say how each text goes on, greedily, after each of its last tokens.

        Args:
            slots: one per text, none twice.
            texts: whole ones, of at most ``capacity`` tokens; of what a slot holds, the beginning
                that agrees is kept.
            ends: after how many of each text's last tokens, at least 1 and at most all.

        Returns:
            By text, as many tokens.
        """
        logits = self.logits(slots, texts, ends)
        if len({*ends}) == 1:
            tokens: list[list[int]] = torch.stack(logits).argmax(-1).tolist()
            return tokens
        return [row.argmax(-1).tolist() for row in logits]

    @torch.inference_mode()
    def logits(
        self, slots: Sequence[int], texts: Sequence[Sequence[int]], ends: Sequence[int]
    ) -> list[Tensor]:
        """As ``read``, but the logits: by text, shape (end, vocabulary)."""
        news = self._news(slots, texts, ends)
        found = self._pass(slots, news)
        return [
            row[len(new) - end : len(new)] for row, new, end in zip(found, news, ends, strict=True)
        ]

    @torch.inference_mode()
    def draft(
        self, slots: Sequence[int], texts: Sequence[Sequence[int]], count: int
    ) -> list[list[int]]:
        """Continue texts greedily.

        Args:
            slots: one per text, none twice.
            texts: whole ones, at least one token each; with the draft, at most ``capacity``.
            count: tokens of each draft, at least 1.
        """
        token = torch.stack(self.logits(slots, texts, [1] * len(slots)))[:, -1].argmax(-1)
        tokens = [token]
        starts = [len(self.held[slot]) for slot in slots]
        for step in range(count - 1):
            place = self._place(slots, [start + step for start in starts], 1)
            token = self._run(place, token[:, None])[:, -1].argmax(-1)
            tokens.append(token)
        drafts: list[list[int]] = torch.stack(tokens, 1).tolist()
        for slot, draft in zip(slots, drafts, strict=True):
            self.held[slot] += draft[:-1]
        return drafts

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    def _news(
        self, slots: Sequence[int], texts: Sequence[Sequence[int]], ends: Sequence[int]
    ) -> list[list[int]]:
        """What texts have beyond what is held, once those that are far behind have caught up."""
        behind = []
        for slot, text, end in zip(slots, texts, ends, strict=True):
            held, most = self.held[slot], len(text) - end
            kept = min(common(held, text, self.settled[slot]), most)
            del held[kept:]
            self.settled[slot] = min(self.settled[slot], kept)
            if most - kept > _SHORT:
                behind.append((slot, text[:most]))
        self._catch_up(behind)
        return [list(text[len(self.held[slot]) :]) for slot, text in zip(slots, texts, strict=True)]

    def _catch_up(self, behind: list[tuple[int, Sequence[int]]]) -> None:
        """Take in whole texts in chunks; rows drop out as they are done."""
        while behind:
            slots = [slot for slot, _ in behind]
            chunks = [list(text[len(self.held[slot]) :][:_CHUNK]) for slot, text in behind]
            self._pass(slots, chunks, logits=1)
            behind = [(slot, text) for slot, text in behind if len(self.held[slot]) < len(text)]

    def _pass(self, slots: Sequence[int], news: Sequence[list[int]], logits: int = 0) -> Tensor:
        """Run new tokens of slots, padded to the longest; their logits (batch, width, vocabulary).

        Args:
            slots: one per row.
            news: tokens, at least one per row.
            logits: only those of so many last columns; 0 for all.
        """
        width = max(map(len, news))
        place = self._place(slots, [len(self.held[slot]) for slot in slots], width)
        padded = [new + [0] * (width - len(new)) for new in news]
        found = self._run(place, torch.tensor(padded, device=self.device), logits)
        for slot, new in zip(slots, news, strict=True):
            self.held[slot] += new
        return found

    def _place(self, slots: Sequence[int], starts: Sequence[int], width: int) -> Place:
        return Place(slots, starts, width, self.capacity, self.device)

    def _run(self, place: Place, tokens: Tensor, logits: int = 0) -> Tensor:
        self.cache.run_at(place)
        self.passes += 1
        found: Tensor = self.model(
            input_ids=tokens,
            position_ids=place.positions.clamp(max=self.capacity - 1),
            attention_mask=place.mask,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=logits,
        ).logits
        return found
