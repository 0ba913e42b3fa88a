"""What requests are promised in ``flyball bench slo``: three classes in equal shares."""

from __future__ import annotations

from typing import Final

from ...policies.slo import Slo

LOOSER: Final = (5.0, 3.0)
"""How many times as long the loose class may take to its first token, and per output token."""

REFERENCE: Final = 0.5
"""Load at which the time per output token without speculation is what objectives are scaled by."""

CLASSES: Final = ("tight", "loose", "none")


def promises(ttft: float, tpot: float) -> tuple[Slo, ...]:
    """The objectives of ``CLASSES``, in their order.

    Args:
        ttft: of the tight class, seconds.
        tpot: of the tight class, seconds per output token.
    """
    first, per_token = LOOSER
    return (
        Slo(ttft, tpot, name="tight"),
        Slo(first * ttft, per_token * tpot, name="loose"),
        Slo(name="none"),
    )
