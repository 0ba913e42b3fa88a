"""Arctic-inference's suffix decoding as a drafter, with what vLLM's method ``suffix`` sets."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Final

from ...inference.drafters.drafter import Ask, Drafter, Owner

SETTINGS: Final[dict[str, float]] = {
    "max_tree_depth": 24,
    "max_cached_requests": 10_000,
    "max_spec_factor": 1.0,
    "min_token_prob": 0.1,
}
"""vLLM's defaults; a draft has up to ``max_tree_depth`` tokens."""


def has_arctic() -> bool:
    """Whether ``arctic-inference`` is installed; it is no dependency, as it needs a compiler."""
    return find_spec("arctic_inference") is not None


class ArcticDrafter(Drafter):
    """Suffix trees over each request and over all outputs, as vLLM drives them."""

    name = "arctic"

    def __init__(self) -> None:
        """Start empty.

        Raises:
            ImportError: if ``arctic-inference`` is not installed.
        """
        from arctic_inference.suffix_decoding import SuffixDecodingCache

        self._depth = int(SETTINGS["max_tree_depth"])
        self._cache: Any = SuffixDecodingCache(self._depth, int(SETTINGS["max_cached_requests"]))
        self._ends: dict[str, list[int]] = {}

    def begin(self, request: str, prompt: Sequence[int], owner: Owner) -> None:  # noqa: ARG002
        """Take in a request; arctic knows neither tenants nor sessions."""
        self._cache.start_request(request, list(prompt))
        self._ends[request] = list(prompt)[-self._depth :]

    def extend(self, request: str, tokens: Sequence[int]) -> None:
        """Take in what was emitted."""
        self._cache.add_active_response(request, list(tokens))
        self._ends[request] = [*self._ends[request], *tokens][-self._depth :]

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Draft."""
        return [
            self._cache.speculate(
                ask.request,
                self._ends[ask.request],
                max_spec_tokens=min(ask.depth, self._depth),
                max_spec_factor=SETTINGS["max_spec_factor"],
                min_token_prob=SETTINGS["min_token_prob"],
            ).token_ids
            for ask in asks
        ]

    def end(self, request: str) -> None:
        """Let go of a request."""
        if self._ends.pop(request, None) is not None:
            self._cache.stop_request(request)
