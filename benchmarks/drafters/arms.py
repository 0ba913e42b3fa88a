"""Who drafts, in each arm of ``flyball bench drafters``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...inference.drafters.catalogue import DRAFT, HYBRID, NONE, SUFFIX
from ...inference.reports import LEARNED

OFFERED: Final = (DRAFT, "ngram", SUFFIX, "chain", HYBRID)
"""Drafters of the one engine that all arms run on."""

SESSIONS: Final = "sessions"
"""Phase of agents' sessions, in which tasks come again."""

_NGRAM_DEPTH: Final = 4
_DEPTHS: Final = (1, 2, 3, 5)
_SESSION_DEPTH: Final = 3


@dataclass(frozen=True)
class Arm:
    """One way to choose who drafts.

    Attributes:
        name: what it is called.
        policy: of the depth, as ``switch`` has it.
        drafter: that all requests ask for; "" leaves it to the engine.
    """

    name: str
    policy: str
    drafter: str

    @property
    def is_single(self) -> bool:
        """Whether one drafter drafts for all."""
        return self.drafter not in ("", NONE, HYBRID)


OFF: Final = Arm("off", "off", NONE)
LEARNED_ARM: Final = Arm("learned", LEARNED, "")


def arms(k_max: int, quick: bool = False) -> list[Arm]:
    """What is compared in the content classes.

    The suffix memory and the chain say themselves how much they draft: they may draft as deep as
    the engine goes.

    Args:
        k_max: greatest depth, tokens.
        quick: whether vLLM's draft model is compared at one depth only.
    """
    depths = (_SESSION_DEPTH,) if quick else tuple(d for d in _DEPTHS if d <= k_max)
    return [
        OFF,
        *(Arm(f"draft {depth}", f"fixed?depth={depth}", DRAFT) for depth in depths),
        Arm("ngram", f"fixed?depth={min(_NGRAM_DEPTH, k_max)}", "ngram"),
        Arm("suffix", f"fixed?depth={k_max}", "suffix"),
        Arm("chain", f"fixed?depth={k_max}", "chain"),
        Arm("hybrid", f"fixed?depth={k_max}", HYBRID),
        LEARNED_ARM,
    ]


def session_arms(k_max: int, quick: bool = False) -> list[Arm]:
    """What is compared on agents' sessions: one depth of the draft model, and no chain."""
    left_out = {f"draft {depth}" for depth in _DEPTHS if depth != _SESSION_DEPTH} | {"chain"}
    return [arm for arm in arms(k_max, quick) if arm.name not in left_out]
