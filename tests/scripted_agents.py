"""Agents that follow a script, tools that write down what was done, and what T alone would do.

The target agent is a function of the actions and observations that it is told of, so that every
deviation from what it alone would do shows in what comes after.
"""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from flyball.inference.agents.costs import ModelPrice
from flyball.inference.agents.environment import Answer, Nature
from flyball.inference.agents.matching import normalised
from flyball.inference.agents.protocol import Action, ActionError, AgentError, Call, Step, Turn
from flyball.inference.agents.trajectory import Trajectory
from flyball.policies.plan.policy import EndedCall, FinishedRun, PlanPolicy
from flyball.policies.plan.state import Ahead, PlanState

PRICES = {"small": ModelPrice(1.0, 0.5, 4.0), "large": ModelPrice(10.0, 5.0, 40.0)}


@dataclass(frozen=True)
class Script:
    """A task.

    Attributes:
        seed: what T wants depends on it.
        length: steps until T ends.
        effects: indices of effectful steps.
        right: whether A says what T says, by index; or the fault that it has.
        a_seconds: that A takes, by index.
        t_seconds: that T takes, by index.
        faults: of T before it gives a turn, by index.
        tool_seconds: that a tool takes, by index; 0 for at once.
    """

    seed: int = 0
    length: int = 4
    effects: frozenset[int] = frozenset()
    right: tuple[bool | str, ...] = (True,)
    a_seconds: tuple[float, ...] = (1.0,)
    t_seconds: tuple[float, ...] = (10.0,)
    faults: tuple[int, ...] = (0,)
    tool_seconds: tuple[float, ...] = (0.0,)


def at(values: Sequence, index: int):
    """The value for a step, from the beginning again when there are too few."""
    return values[index % len(values)]


def wanted(script: Script, steps: Sequence[Step]) -> Action:
    """What T wants after these steps."""
    index = len(steps)
    said = "|".join(f"{normalised(step.action)}={step.observation}" for step in steps)
    value = zlib.crc32(f"{script.seed}|{said}".encode()) % 1000
    if index + 1 >= script.length:
        return Action("finish", {"answer": value})
    return Action("write" if index in script.effects else "look", {"index": index, "value": value})


@dataclass
class Records:
    """Tools of one task, and what they did."""

    script: Script
    effects: list[Action] = field(default_factory=list)
    executed: list[Action] = field(default_factory=list)

    def open(self, task: Script) -> Records:
        return self

    def check(self, action: Action) -> Nature:
        expected = {"look": {"index", "value"}, "write": {"index", "value"}, "finish": {"answer"}}
        if action.tool not in expected or set(action.arguments) != expected[action.tool]:
            raise ActionError(f"no {action}")
        return Nature(action.tool == "write", action.tool == "finish")

    def execute(self, action: Action) -> Answer:
        self.executed.append(action)
        seconds = at(self.script.tool_seconds, int(action.arguments.get("index", 0)))
        return self._after(seconds, action) if seconds else self.observe(action)

    async def _after(self, seconds: float, action: Action) -> str:
        await asyncio.sleep(seconds)
        return self.observe(action)

    def observe(self, action: Action) -> str:
        if action.tool == "write":
            self.effects.append(action)
        return f"{action.arguments} after {len(self.effects)}"


@dataclass
class Agent:
    """Counts what it does, so that the ledger can be compared with it."""

    model: str
    calls: int = 0
    running: int = 0
    greatest: int = 0
    tokens: Counter[str] = field(default_factory=Counter)

    async def work(self, seconds: float, call: Call) -> None:
        """Take time, counting tokens: some at first, some each second, also when cancelled."""
        self.calls += 1
        self.running += 1
        self.greatest = max(self.greatest, self.running)
        try:
            self.count(call, prompt=100, cached=40)
            whole = int(seconds)
            for _ in range(whole):
                await asyncio.sleep(1.0)
                self.count(call, completion=7)
            await asyncio.sleep(seconds - whole)
        finally:
            self.count(call, completion=1)
            self.running -= 1

    def count(self, call: Call, **tokens: int) -> None:
        for name, number in tokens.items():
            setattr(call.usage, name, getattr(call.usage, name) + number)
            self.tokens[name] += number

    @property
    def dollars(self) -> float:
        price = PRICES[self.model]
        fresh = self.tokens["prompt"] - self.tokens["cached"]
        return (
            fresh * price.prompt
            + self.tokens["cached"] * price.cached
            + self.tokens["completion"] * price.completion
        ) / 1e6


class Approximation(Agent):
    """Says what T says, or something else, or fails."""

    def __init__(self) -> None:
        super().__init__("small")

    async def act(self, task: Script, steps: Sequence[Step], call: Call) -> Turn:
        index = len(steps)
        await self.work(at(task.a_seconds, index), call)
        right = at(task.right, index)
        if right == "raises":
            raise AgentError("no idea")
        if right == "hangs":
            await asyncio.sleep(1e6)
        if right == "cancels":
            raise asyncio.CancelledError
        if right in OUTPUTS:
            return OUTPUTS[right]
        action = wanted(task, steps)
        if right is True:
            return Turn(action, logprob=-0.1)
        if right == "alike":
            numbers = {name: float(value) for name, value in action.arguments.items()}
            return Turn(Action(action.tool, numbers))
        return Turn(Action("look", {"index": index, "value": -1}), logprob=-2.0)


OUTPUTS: dict[object, object] = {
    "unknown tool": Turn(Action("dance", {})),
    "malformed": Turn(Action("look", {"where": 1})),
    "no JSON": Turn(Action("look", {"index": 0, "value": {1, 2}})),
    "garbage": "look, a string",
    "ends": Turn(Action("finish", {"answer": -1})),
}
FAULTS = (*OUTPUTS, "raises", "hangs", "cancels", "alike")


class Target(Agent):
    """Says what is wanted, after as many faults as the script has, on every prefix."""

    def __init__(self) -> None:
        super().__init__("large")
        self.asked: Counter[str] = Counter()

    async def act(self, task: Script, steps: Sequence[Step], call: Call) -> Turn:
        index = len(steps)
        prefix = f"{task.seed} {[str(step.action) for step in steps]}"
        self.asked[prefix] += 1
        fault = self.asked[prefix] <= at(task.faults, index)
        await self.work(at(task.t_seconds, index), call)
        if fault:
            raise AgentError("overloaded")
        return Turn(wanted(task, steps), thought="It follows.")


class Choosing(PlanPolicy):
    """Chooses as a script says, and checks the notices while it notes them.

    Args:
        choices: steps ahead, from the beginning again when they are at their end.
        barrier: whether in rounds.
        slow: seconds that a decision takes; None for none.
    """

    def __init__(
        self, choices: Sequence[int], barrier: bool = False, slow: float | None = None
    ) -> None:
        self.barrier = barrier
        self.slow = slow is not None
        self._seconds = slow or 0.0
        self._choices = itertools.cycle(choices)
        self.calls: list[EndedCall] = []
        self.matched: list[bool | None] = []
        self.in_vain = 0
        self.runs: list[FinishedRun] = []

    def decide(self, state: PlanState) -> Ahead:
        assert not self.runs
        assert state.in_flight >= 0
        return Ahead(next(self._choices))

    async def consider(self, state: PlanState) -> Ahead:
        await asyncio.sleep(self._seconds)
        return self.decide(state)

    def settled(self, state: PlanState, index: int, matched: bool | None) -> None:
        assert index == len(self.matched) == len(state.committed)
        # An answer of no use is told as a mismatch, though the step was not proposed.
        assert matched is False or (matched is None) == (not state.proposed)
        self.in_vain += matched is False and not state.proposed
        self.matched.append(matched if state.proposed else None)

    def ended(self, call: EndedCall, state: PlanState) -> None:
        assert not self.runs
        assert call.seconds >= 0
        self.calls.append(call)

    def finished(self, run: FinishedRun) -> None:
        self.runs.append(run)


def alone(script: Script) -> list[tuple[Action, str]]:
    """What T alone would do, and observe."""
    records = Records(script)
    steps: list[Step] = []
    while not steps or steps[-1].action.tool != "finish":
        action = wanted(script, steps)
        steps.append(Step(Turn(action), records.observe(action)))
    return [(step.action, step.observation) for step in steps]


def done(trajectory: Trajectory) -> list[tuple[Action, str]]:
    """What was committed."""
    return [(step.action, step.observation) for step in trajectory.steps]
