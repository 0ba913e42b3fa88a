"""Keys and values of many requests, each in a slot of its own, for any Hugging Face model.

A forward pass runs some slots, each from where it stands; what is behind that is overwritten. So
rolling a request back is nothing but saying that it stands further to the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

_GRAIN: Final = 64  # positions by which what is attended to grows: shapes recur


class Place:
    """Where the tokens of one forward pass go, and what they attend to.

    Args:
        slots: one per row of the batch.
        starts: position of each row's first token.
        width: tokens per row, the shorter ones padded at their end.
        capacity: positions of a slot.
        device: of the cache.

    Attributes:
        positions: of every token, shape (batch, width); those of padding may be beyond the slot.
        mask: True where attended, shape (batch, 1, width, span).
        cells: where keys and values are stored, shape (batch * width,).
        span: positions that are attended to at most.
        rows: the slots, shape (batch,), or None where they are ``first`` and those that follow.
        first: lowest slot.
    """

    def __init__(
        self,
        slots: Sequence[int],
        starts: Sequence[int],
        width: int,
        capacity: int,
        device: torch.device,
    ) -> None:
        at = torch.tensor([list(slots), list(starts)], device=device)
        self.positions = at[1][:, None] + torch.arange(width, device=device)
        # A slot has one cell more than positions, where padding goes that does not fit.
        cells = self.positions.clamp(max=capacity) + at[0][:, None] * (capacity + 1)
        self.cells = cells.flatten()
        longest = max(starts) + width
        self.span = min(-(-longest // _GRAIN) * _GRAIN, capacity)
        attended = torch.arange(self.span, device=device)
        self.mask = (attended <= self.positions[:, :, None])[:, None]
        self.first = min(slots)
        in_a_row = list(slots) == list(range(self.first, self.first + len(slots)))
        self.rows = None if in_a_row else at[0]

    @property
    def batch(self) -> int:
        """Rows."""
        return len(self.positions)


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values: (slots, capacity + 1, heads, head size).

    They are made at the first forward pass, when their sizes are known.
    """

    is_sliding = False

    def __init__(self, slots: int, capacity: int) -> None:
        super().__init__()
        self.slots, self.capacity = slots, capacity
        self.place: Place | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate, for heads as those of (batch, heads, positions, head size)."""
        self.keys, self.values = (
            states.new_zeros(self.slots, self.capacity + 1, states.shape[1], states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Store a pass's keys and values; returns all of its slots up to its span.

        Args:
            key_states: (batch, heads, width, head size).
            value_states: the same of values.

        Returns:
            Each (batch, heads, span, head size).
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return self._store(self.keys, key_states), self._store(self.values, value_states)

    def _store(self, kept: Tensor, states: Tensor) -> Tensor:
        place = self.place
        assert place is not None
        kept.flatten(0, 1).index_copy_(0, place.cells, states.transpose(1, 2).flatten(0, 1))
        kept = kept[:, : place.span]
        if place.rows is None:
            kept = kept[place.first : place.first + place.batch]
        else:
            kept = kept.index_select(0, place.rows)
        return kept.transpose(1, 2)

    def copy(self, source: int, slot: int, length: int) -> None:
        """Give a slot the first positions of another."""
        if self.is_initialized:
            for kept in (self.keys, self.values):
                kept[slot, :length] = kept[source, :length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002
        """Positions that are attended to, and the first of them."""
        return (self.place.span if self.place else 0), 0

    def get_seq_length(self) -> int:
        """Nothing that all slots have in common: passes say their positions themselves."""
        return 0

    def get_max_length(self) -> int:
        """Positions of a slot."""
        return self.capacity


class SlotCache(Cache):  # type: ignore[misc]
    """A model's cache over slots.

    Args:
        layers: of the model.
        slots: how many.
        capacity: positions of each.
    """

    def __init__(self, layers: int, slots: int, capacity: int) -> None:
        super().__init__(layers=[SlotLayer(slots, capacity) for _ in range(layers)])
        self.slots, self.capacity = slots, capacity

    def run_at(self, place: Place) -> None:
        """Say where the next forward pass runs."""
        for layer in self.layers:
            layer.place = place

    def copy(self, source: int, slot: int, length: int) -> None:
        """Give a slot the first positions of another, in all layers."""
        for layer in self.layers:
            layer.copy(source, slot, length)
