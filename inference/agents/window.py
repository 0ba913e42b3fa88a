"""The steps of a run that the target agent has not settled, and what is known of each."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ...policies.plan.state import Proposed
from .calls import Flight
from .environment import Nature
from .matching import Written
from .protocol import Action, Step, Turn


@dataclass(frozen=True, slots=True)
class Wish:
    """A turn that can be used: its action is one of the environment's.

    Attributes:
        turn: what an agent gave.
        flight: the call that gave it.
        nature: what executing the action means.
        written: the action's texts.
    """

    turn: Turn
    flight: Flight
    nature: Nature
    written: Written

    @property
    def action(self) -> Action:
        """What is to be done."""
        return self.turn.action

    def shown(self, judged: bool, elapsed: float) -> Proposed:
        """Return it as policies see it."""
        return Proposed(
            tool=self.action.tool,
            action=self.written.text,
            logprob=self.turn.logprob,
            final=self.nature.final,
            effectful=self.nature.effectful,
            elapsed=elapsed,
            judged=judged,
        )


@dataclass(slots=True, eq=False)
class Execution:
    """An action that is or was executed.

    Attributes:
        observation: what was observed; None before, and where it failed.
        error: why it failed; None where it did not.
        task: what executes it; None where it was done at once.
    """

    observation: str | None = None
    error: BaseException | None = None
    task: asyncio.Task[str] | None = None


@dataclass(slots=True, eq=False)
class Unsettled:
    """One step.

    Attributes:
        index: from 0.
        proposing: A's call for it that runs.
        verifying: T's call for it that runs.
        proposal: what A proposed.
        verdict: what T said; it stands if the steps before do.
        matched: whether these are the same; None where there is no proposal or no verdict.
        silent: whether A can say no more of it.
        in_vain: whether A gave, or was paid for, an answer that is of no use.
        faults: of T at this step.
        fault: T's last one, when it may not be asked again.
        executions: by the identity of the action.
        told: as agents are told of it when they are asked for later steps; None before its
            observation is known.
    """

    index: int
    proposing: Flight | None = None
    verifying: Flight | None = None
    proposal: Wish | None = None
    verdict: Wish | None = None
    matched: bool | None = None
    silent: bool = False
    in_vain: bool = False
    faults: int = 0
    fault: BaseException | None = None
    executions: dict[str, Execution] = field(default_factory=dict)
    told: Step | None = None

    @property
    def wish(self) -> Wish | None:
        """What the steps after it are built on: T's verdict, or A's proposal before that."""
        return self.verdict or self.proposal

    @property
    def passable(self) -> bool:
        """Whether a step after it can be thought of."""
        wish = self.wish
        return (
            wish is not None
            and not wish.nature.final
            and self.told is not None
            and self.told.action is wish.action
        )

    @property
    def unverified(self) -> bool:
        """Whether T is to be asked for it."""
        return self.verifying is None and self.verdict is None and self.fault is None

    @property
    def unproposed(self) -> bool:
        """Whether A can be asked for it."""
        return self.proposing is None and self.wish is None and not self.silent

    @property
    def learned(self) -> bool | None:
        """Whether A was right, as policies are told: an answer of no use is as good as wrong."""
        return False if self.in_vain else self.matched

    @property
    def observation(self) -> str | None:
        """What its action observed; None before that is known."""
        execution = (
            self.executions.get(self.wish.written.identity) if self.wish is not None else None
        )
        return None if execution is None else execution.observation

    @property
    def flights(self) -> list[Flight]:
        """Its calls: those that run, and those that gave a turn."""
        running = (self.proposing, self.verifying)
        wishes = (self.proposal, self.verdict)
        return [f for f in running if f is not None] + [w.flight for w in wishes if w is not None]

    def elapsed(self, now: float) -> float:
        """Return how long T's call has been running, seconds; NaN where none runs."""
        return now - self.verifying.started if self.verifying is not None else math.nan


class Window:
    """All steps that are thought of and not settled, oldest first, at least one."""

    def __init__(self) -> None:
        self.steps = [Unsettled(0)]

    @property
    def first(self) -> Unsettled:
        """The step to be settled next."""
        return self.steps[0]

    def reach(self, may_follow: Callable[[Unsettled], bool]) -> Iterator[Unsettled]:
        """Yield the steps from the first on, a new one after the last, as far as may be."""
        position = 0
        while True:
            step = self.steps[position]
            yield step
            if not may_follow(step):
                return
            position += 1
            if position == len(self.steps):
                self.steps.append(Unsettled(step.index + 1))

    def shift(self) -> None:
        """Leave the first step behind: it is settled."""
        settled = self.steps.pop(0)
        if not self.steps:
            self.steps.append(Unsettled(settled.index + 1))

    def cut(self, step: Unsettled) -> list[Unsettled]:
        """Drop all steps after this one and return them."""
        position = step.index - self.first.index
        dropped = self.steps[position + 1 :]
        del self.steps[position + 1 :]
        return dropped

    def holds(self, step: Unsettled) -> bool:
        """Whether a step is still thought of."""
        position = step.index - self.first.index
        return 0 <= position < len(self.steps) and self.steps[position] is step

    def of(self, flight: Flight) -> Unsettled:
        """Return the step that a call that is not void is for."""
        return self.steps[flight.index - self.first.index]

    def told_before(self, step: Unsettled) -> list[Step]:
        """Return the steps before this one as agents are told of them."""
        before = self.steps[: step.index - self.first.index]
        return [earlier.told for earlier in before if earlier.told is not None]

    def shown(self, now: float, settling: bool = False) -> tuple[list[Proposed], float]:
        """Return the steps as policies see them.

        Args:
            now: the loop's time.
            settling: whether the first is being settled: it is shown as A proposed it.

        Returns:
            Those with a turn, and the seconds that T's call of the next one has been running.
        """
        proposed: list[Proposed] = []
        for step in self.steps:
            first = settling and step is self.first
            wish = step.proposal if first else step.wish
            if wish is None:
                return proposed, step.elapsed(now)
            judged = step.verdict is not None and not first
            proposed.append(wish.shown(judged, step.elapsed(now)))
        return proposed, math.nan
