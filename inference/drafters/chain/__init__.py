"""The chain drafter: models of one family, where larger ones verify what smaller ones draft.

Importing this package imports neither torch nor transformers; ``loading`` and ``drafter`` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..catalogue import DrafterContext
    from .planned import PlannedChain


def build(context: DrafterContext) -> PlannedChain:
    """One for an engine, as ``FLYBALL_CHAIN`` and ``FLYBALL_CHAIN_MIB`` say (``engine``)."""
    from .engine import build as build_chain

    return build_chain(context)
