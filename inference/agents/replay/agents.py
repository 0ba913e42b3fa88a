"""Agents that answer as recorded: the same turns, seconds and tokens, on a loop of any time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from ..protocol import Action, AgentError, Call, Step, Turn
from .environment import SETTLED
from .recorded import RecordedStep, RecordedTask, RecordedTurn


class _Replayed:
    """What both agents have in common.

    Args:
        model: name by which its tokens are priced.
        whole: whether a call that is cancelled is charged for all that it would have used, as by
            a server that is not told of it; else for what it had used by then.
        blind: whether A goes on after a ``TERMINATE`` of its own, up to the recorded end; see
            ``RecordedEnvironment``.
    """

    def __init__(self, model: str, whole: bool = False, blind: bool = False) -> None:
        self._model = model
        self._whole = whole
        self._blind = blind

    @property
    def model(self) -> str:
        """Name of the model behind it."""
        return self._model

    async def act(self, task: Any, steps: Sequence[Step], call: Call) -> Turn:
        """Take the recorded seconds, then answer what was recorded.

        On another prefix than T's own actions the answer is of the same step nevertheless, and
        past the last step that of the last: somewhat like what an agent would say, and of no
        consequence, since whatever is done on such a prefix is void.

        Raises:
            AgentError: if the task is no recorded one, or no answer was recorded.
        """
        if not isinstance(task, RecordedTask):
            raise AgentError(f"a replay runs tasks of type RecordedTask, not {type(task).__name__}")
        if self._blind and len(steps) >= len(task.steps):
            raise AgentError("nothing was recorded past the end")
        turn = self._turn(task.steps[min(len(steps), len(task.steps) - 1)])
        await self._spend(turn, call)
        if not turn.action:
            raise AgentError("no answer was recorded")
        return Turn(self._action(turn), logprob=turn.logprob)

    def _turn(self, step: RecordedStep) -> RecordedTurn:
        raise NotImplementedError

    def _action(self, turn: RecordedTurn) -> Action:
        return Action(turn.action, {})

    async def _spend(self, turn: RecordedTurn, call: Call) -> None:
        time = asyncio.get_running_loop().time
        begun = time()
        elapsed = 0.0
        try:
            await asyncio.sleep(turn.seconds)
            elapsed = turn.seconds
        except asyncio.CancelledError:
            elapsed = time() - begun
            raise
        finally:
            call.usage.prompt, call.usage.completion = turn.used(
                math.inf if self._whole else elapsed
            )
            if elapsed >= turn.wait:
                call.first = turn.wait


class ReplayedApproximation(_Replayed):
    """Agent A of a recorded task."""

    def _turn(self, step: RecordedStep) -> RecordedTurn:
        return step.approximation


class ReplayedTarget(_Replayed):
    """Agent T of a recorded task."""

    def _turn(self, step: RecordedStep) -> RecordedTurn:
        return step.target

    def _action(self, turn: RecordedTurn) -> Action:
        return Action(turn.action, SETTLED if self._blind else {})
