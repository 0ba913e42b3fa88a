"""Tiers of depths, moved between by the moving average of accepted tokens."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta

from ..policy import Choice, Integers
from ..spaces import Array
from ..transition import ACCEPTED, COLUMN, TRIED, Floats
from .base import CataloguePolicy
from .options import Options, refusal

_FORM = "rising depths from 1 such as 1,3,7; those above k_max count as k_max"


class HysteresisOptions(Options, frozen=True):
    """Options of ``hysteresis``."""

    tiers: Annotated[str, Meta(description=_FORM)] = "1,3,7"
    weight: Annotated[
        float,
        Meta(gt=0, le=1, description="a number in (0, 1]: weight of the newest engine step"),
    ] = 0.2
    up: Annotated[
        float, Meta(ge=0, description="a number from 0: tokens above d - 1/2 to leave tier d up")
    ] = 0.0
    down: Annotated[
        float, Meta(ge=0, description="a number from 0: tokens below d - 1/2 to come down to it")
    ] = 0.25
    dwell: Annotated[
        int, Meta(ge=1, description="a whole number from 1: decisions that a tier holds at least")
    ] = 2


class Hysteresis(CataloguePolicy):
    """SGLang's adaptive speculative decoding, by its documentation.

    A moving average of the tokens accepted per verification decides between a few depths. The
    tier of depth d is left upwards above d - 1/2 + up, and come back to from the one above it at
    d - 1/2 - down or below; between the two nothing moves. No tier is 0, as nothing would be
    accepted in it and it could never be left.
    """

    name = "hysteresis"
    about = "tiers of depths by a moving average of accepted tokens (SGLang's adaptive)"
    kind: ClassVar[type[Options]] = HysteresisOptions
    options: HysteresisOptions

    def _prepare(self) -> None:
        self.tiers: Integers = np.array(parse(self.options.tiers, self.k_max))
        middle = len(self.tiers) // 2
        self.accepted: Floats = np.full(self.engines, float(self.tiers[middle]))
        self._tier: Integers = np.full(self.engines, middle)
        self._held: Integers = np.zeros(self.engines, np.int64)
        # Below the lowest and above the highest tier there is none to go to.
        self._rise: Floats = np.append(self.tiers[:-1] - 0.5 + self.options.up, np.inf)
        self._fall: Floats = np.append(-np.inf, self.tiers[:-1] - 0.5 - self.options.down)

    def act(self, raw: Array) -> Choice:  # noqa: ARG002
        """Hold the tier, or go to the next one."""
        free = self._held >= self.options.dwell
        up = free & (self.accepted > self._rise[self._tier])
        down = free & (self.accepted <= self._fall[self._tier])
        self._tier += up
        self._tier -= down
        self._held[up | down] = 0
        self._held += 1
        return Choice.certain(self.tiers[self._tier])

    def learn(self, raw: Array, actions: Integers, outcomes: Floats) -> None:  # noqa: ARG002
        """Follow the tokens accepted; where none were drafted, none are known."""
        verified = outcomes[:, TRIED.start]
        accepted = outcomes[:, ACCEPTED].sum(axis=1) / np.maximum(verified, 1.0)
        kept = (1.0 - self.options.weight) ** outcomes[:, COLUMN["steps"]]
        moved = np.where(verified > 0, 1.0 - kept, 0.0)
        self.accepted += moved * (accepted - self.accepted)


def parse(text: str, k_max: int) -> list[int]:
    """Tiers from text such as ``1,3,7``.

    Raises:
        ValueError: saying what is wrong with it.
    """
    parts = text.split(",")
    depths = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 4]
    if len(depths) != len(parts) or depths[0] < 1 or depths != sorted(set(depths)):
        raise refusal(Hysteresis.name, "tiers", text, _FORM)
    return sorted({min(depth, k_max) for depth in depths})
