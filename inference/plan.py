"""What the governor wants of one engine step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Plan(NamedTuple):
    """What one engine step is to do.

    Attributes:
        depth: tokens to draft per request, for the next step to verify.
        lengths: drafts to verify in this step, per running request in the engine's order; None for
            all that were drafted. What is not verified is dropped before anyone has seen it.
        prompt_tokens: most prompt tokens in this step; None for the engine's own budget.
        order: waiting requests in the order in which they are to be admitted, as indices into the
            engine's queue, all of them; None for the order that they are in.
    """

    depth: int
    lengths: Sequence[int] | None = None
    prompt_tokens: int | None = None
    order: Sequence[int] | None = None
