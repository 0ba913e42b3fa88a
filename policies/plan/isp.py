"""Interactive Speculative Planning: the same round of steps at all times."""

from __future__ import annotations

from typing import ClassVar

from .fixed import Fixed


class Isp(Fixed):
    """Rounds of k steps, each waited for (Interactive Speculative Planning, arXiv 2410.00079).

    Args:
        steps: k, in [0, MAX_AHEAD].
    """

    name: ClassVar[str] = "isp"
    about: ClassVar[str] = "rounds of 4 steps (Interactive Speculative Planning, 2024)"

    def __init__(self, steps: int = 4) -> None:
        super().__init__(steps, barrier=True)
