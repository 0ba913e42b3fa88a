"""What vLLM takes for its drafter where flyball's drafters are all there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

PROPOSER: Final = "flyball.inference.vllm.proposer.EmptyProposer"
"""The ``model`` of a speculative configuration of the method ``custom_class``."""


class EmptyProposer:
    """Proposes nothing; what is drafted, the worker adds (``drafting``).

    Args:
        config: vLLM's.
    """

    def __init__(self, config: Any) -> None:
        del config

    def load_model(self, *_: Any, **__: Any) -> None:
        """There is no model."""

    def propose(self, sampled_token_ids: Sequence[Any], *_: Any, **__: Any) -> list[list[int]]:
        """An empty draft per request.

        Args:
            sampled_token_ids: of each request.
        """
        return [[] for _ in sampled_token_ids]
