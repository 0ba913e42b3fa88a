"""One engine step: what the governor sees of the engine's queue, and what it wants done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .requests import RequestState


class Step(Protocol):
    """The engine's queue before a step; nothing of it is looked up before it is asked for.

    A request that runs decodes or prefills; one that surely ends with what is in the air does
    neither.
    """

    @property
    def decoding(self) -> Sequence[RequestState]:
        """Requests that decode, in the engine's order."""

    @property
    def drafted(self) -> Sequence[int]:
        """Drafts of each of them that could be verified in this step, tokens."""

    @property
    def prefilling(self) -> Sequence[RequestState]:
        """Requests whose prompt is under way, in the engine's order."""

    @property
    def left(self) -> Sequence[int]:
        """What is left of each of their prompts, tokens."""

    @property
    def waiting(self) -> Sequence[RequestState]:
        """Requests that wait, in the order in which the engine would admit them."""

    @property
    def prompts(self) -> Sequence[int]:
        """What each of them is to run first, tokens; a prefix that is cached may count, too."""


class Plan(NamedTuple):
    """What one engine step is to do.

    Attributes:
        depth: tokens to draft per request, for the next step to verify.
        lengths: drafts to verify in this step, per request of ``Step.decoding``, at least 0; one
            beyond what was drafted means all of them, and so does None for all requests. What is
            not verified is dropped before anyone has seen it.
        prompt_tokens: most prompt tokens in this step; None for the engine's own budget. It holds
            prompts back for the sake of requests that decode: where none does, it is void.
        order: waiting requests in the order in which they are to be admitted, as indices into
            ``Step.waiting``, all of them; None for the order that they are in.
    """

    depth: int
    lengths: Sequence[int] | None = None
    prompt_tokens: int | None = None
    order: Sequence[int] | None = None
