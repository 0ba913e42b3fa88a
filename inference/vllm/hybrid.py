"""Whether the suffix memory or vLLM's draft model drafts for a request, decided step by step.

A memory is sure of what it has seen, and knows nothing else; a model always has something to say.
What the memory's draft is worth it says itself (``Drafter.promised``); what the model's would be is
known from its drafts before, every one of which is held to what the target then emitted, used or
not. The model's passes cost the step, not a request: it is run if all that it would add to what the
memory promises is worth them, and then drafts for those of whom it promises more. How many passes
it makes is chosen with that: memories' drafts may be as long as the step's depth allows, while each
token of a model's costs a pass and is less sure than the one before.

Suffixes before a model's drafts, by a threshold on their score, are Arctic Inference's hybrid
speculation (Snowflake 2025); here both sides are weighed against each other, and the batch's
requests together. Whoever drafts is decided before any token of the draft's slots is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from ..drafters.catalogue import DRAFT
from ..drafters.exchange import Costs
from ..drafters.pool import Promise
from ..drafters.scoring import Score
from ..history import HISTORY

MEMORY: Final = 0.99
"""Weight of the past of all requests together, per draft."""

PRIOR: Final = 4.0
"""Positions tried that what all requests tell weighs as much as, for one of them."""

START: Final = 0.6
"""Acceptance of the model's tokens before anything was verified."""

_START_WEIGHT: Final = 10.0

SPELLS: Final = 0.99
"""Weight of the past per step in how long the model drafts for a request on end."""

_SPELL: Final = 4.0  # steps that it is taken to be at first,
_SPELLS: Final = 4.0  # which weighs as much as so many


class Hybrid:
    """Weighs a memory's drafts against a model's."""

    def __init__(self) -> None:
        self._all = (_START_WEIGHT, START * _START_WEIGHT)  # tried, accepted
        self._own: dict[str, tuple[float, float]] = {}
        self._having: set[str] = set()  # for whom the model drafted last
        self._uses = self._begun = 0.0  # drafts of it, and those whose request had none before

    def learn(self, scores: Iterable[Score]) -> None:
        """Take in how the model's drafts fared; those of others are passed over."""
        for score in scores:
            if score.drafter == DRAFT and score.drafted:
                tried = min(score.accepted + 1, score.drafted)
                own = self._own.get(score.request, (0.0, 0.0))
                self._own[score.request] = _added(own, HISTORY, tried, score.accepted)
                self._all = _added(self._all, MEMORY, tried, score.accepted)

    def end(self, request: str) -> None:
        """A request has ended."""
        self._own.pop(request, None)

    def rate(self, request: str) -> float:
        """Share of the model's tokens that a request accepts, position by position, so far."""
        tried, accepted = self._own.get(request, (0.0, 0.0))
        usual = self._all[1] / self._all[0]
        return (accepted + PRIOR * usual) / (tried + PRIOR)

    def choose(
        self,
        requests: Sequence[str],
        promised: Mapping[str, Promise],
        depth: int,
        others: int,
        runs: bool,
        costs: Costs,
        reads: Sequence[int] = (),
    ) -> tuple[set[str], int]:
        """Requests that the model is to draft for, and in how many passes.

        Args:
            requests: that both could draft for.
            promised: by the memory, of those that it has a draft for.
            depth: greatest of the drafts, tokens.
            others: requests in the step that are none of these.
            runs: whether the model makes that many passes in any case, for others.
            costs: what drafting and verifying add to a step.
            reads: tokens of each that the model has to read first; none where nothing is said.
        """
        nothing = Promise(0.0, 0)
        promises = [promised.get(request, nothing) for request in requests]
        tokens = len(requests) + others + sum(promise.tokens for promise in promises)
        each = costs.position * tokens  # tokens that the step would yield in the time
        memory = np.array([promise.tokens - each * promise.length for promise in promises])
        counts = np.arange(1, depth + 1)
        rates = np.array([self.rate(request) for request in requests])[:, None]
        reading = np.array(reads or [0] * len(requests)) * (costs.read * tokens / self._spell())
        gains = (rates**counts).cumsum(axis=1) - each * counts - (memory + reading)[:, None]
        worth = np.maximum(gains, 0.0).sum(axis=0)
        if not runs:
            worth -= tokens * costs.of_passes(depth)
        count = depth if runs else int(worth.argmax()) + 1
        chosen = gains[:, count - 1] > 0.0 if worth[count - 1] > 0.0 else np.zeros(len(gains), bool)
        model = {request for request, has in zip(requests, chosen.tolist(), strict=True) if has}
        self._follow(model)
        return model, count if runs or model else 0

    def _follow(self, model: set[str]) -> None:
        """Count in how many steps on end the model drafts for a request."""
        self._uses = SPELLS * self._uses + len(model)
        self._begun = SPELLS * self._begun + len(model - self._having)
        self._having = model

    def _spell(self) -> float:
        """Steps that what the model reads of a request is good for."""
        return max((self._uses + _SPELL * _SPELLS) / (self._begun + _SPELLS), 1.0)


def _added(
    sums: tuple[float, float], kept: float, tried: int, accepted: int
) -> tuple[float, float]:
    return sums[0] * kept + tried, sums[1] * kept + accepted
