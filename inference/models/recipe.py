"""Recipes: everything that decides how a model of the family is trained, as data."""

from __future__ import annotations

from dataclasses import dataclass

from .family import DRAFT, MIDDLE, TARGET

TRANSCRIPTS = 24_000


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes:
        until: It lasts until this share of all tokens has been seen.
        layers: Layers in use. A model grows by copying its blocks: first all of them, then all
            again, so that the last layers stay last.
        window: Tokens per window.
        windows: Windows per step.
        pace: Learning rate at its beginning and end, as a share of the peak; a straight line.
        tool_calls: Share of windows that hold transcripts.
        given: Weight of the loss on what an agent is given in a transcript (the task, what was
            observed), most of which nobody could foresee, beside 1 on what it writes.
    """

    until: float
    layers: int
    window: int
    windows: int
    pace: tuple[float, float] = (1.0, 1.0)
    tool_calls: float = 0.5
    given: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """How one model is trained on the corpus.

    The learning rate warms up, then goes as the phases say. Phases are shares of all tokens, so a
    run that has to end sooner is relaunched with fewer tokens, and decays from there.

    Attributes:
        tokens: Tokens to see in all.
        phases: What is trained when.
        rate: Peak learning rate of Muon, for matrices, matched to AdamW's update size.
        embedding_rate: Peak learning rate of AdamW, for embeddings and norms.
        warm_up: Tokens until the peak.
        micro: Tokens per forward and backward pass; steps are split into such parts.
    """

    tokens: int
    phases: tuple[Phase, ...]
    rate: float = 3e-3
    embedding_rate: float = 3e-3
    warm_up: int = 200_000
    micro: int = 5120

    def phase(self, seen: int) -> Phase:
        """Return the phase after so many tokens."""
        for phase in self.phases:
            if seen < phase.until * self.tokens:
                return phase
        return self.phases[-1]

    def pace(self, seen: int) -> float:
        """Return the learning rate as a share of its peak, after so many tokens."""
        phase = self.phase(seen)
        index = self.phases.index(phase)
        start = self.phases[index - 1].until * self.tokens if index else 0.0
        gone = min(1.0, (seen - start) / (phase.until * self.tokens - start))
        first, last = phase.pace
        return min((seen + 1) / self.warm_up, first + gone * (last - first))


@dataclass(frozen=True)
class Distillation:
    """How drafters learn from their target.

    Attributes:
        tokens: Tokens to see in all.
        generated: Share of windows that the target wrote itself, from the corpus's beginnings.
        written: Windows that it writes; they come round several times.
        tool_calls: Share of windows of the corpus that hold transcripts.
        given: Weight of the loss on what an agent is given, as in `Phase`.
        rate: Peak learning rate of Muon.
        embedding_rate: Peak learning rate of AdamW.
        warm_up: Tokens until the peak; after it the rate decays to zero, in a straight line.
        window: Tokens per window.
        windows: Windows per step.
    """

    tokens: int = 2_600_000
    generated: float = 0.5
    written: int = 384
    tool_calls: float = 0.6
    given: float = 0.1
    rate: float = 2e-3
    embedding_rate: float = 2e-3
    warm_up: int = 50_000
    window: int = 640
    windows: int = 8

    def pace(self, seen: int) -> float:
        """Return the learning rate as a share of its peak, after so many tokens."""
        return max(0.0, min(1.0, (seen + 1) / self.warm_up, 1.0 - seen / self.tokens))


def _drafter_phases(layers: int) -> tuple[Phase, ...]:
    """The drafters' phases: everything first, then copying, as in the target's last phase."""
    return (
        Phase(until=0.36, layers=layers, window=640, windows=8),
        Phase(until=0.4, layers=layers, window=640, windows=8, pace=(1.0, 0.0)),
        Phase(1.0, layers, window=640, windows=8, pace=(0.7, 0.0), tool_calls=0.7, given=0.1),
    )


RECIPES = {
    # Most of what a shallow model learns first survives being stacked, at a third of the price.
    TARGET: Recipe(
        tokens=8_500_000,
        phases=(
            Phase(until=0.4118, layers=2, window=640, windows=8),
            Phase(until=0.5469, layers=8, window=640, windows=16),
            Phase(until=0.6177, layers=8, window=640, windows=8),
            Phase(until=0.7412, layers=8, window=640, windows=8, pace=(1.0, 0.4)),
            Phase(until=0.824, layers=8, window=1280, windows=4, pace=(0.4, 0.0)),
            # Last, what agents need most: copying names and numbers into their calls.
            Phase(1.0, 8, window=640, windows=8, pace=(0.5, 0.0), tool_calls=0.7, given=0.1),
        ),
    ),
    MIDDLE: Recipe(tokens=6_000_000, phases=_drafter_phases(layers=3)),
    DRAFT: Recipe(tokens=5_000_000, phases=_drafter_phases(layers=2)),
}

DISTILLATION = Distillation()
