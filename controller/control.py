"""The commands, whichever door they come through, and the settings they act on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from ..envs.rewards import RewardError
from ..inference.agents.orders import check_plan_policy
from ..inference.drafters.catalogue import check_choice
from ..inference.live_policy import check_policy
from ..inference.reports import Beat, FromEngine, Mode, PlanBeat, Report
from ..inference.wire import (
    TOPIC_DRAFTER,
    TOPIC_KNOB,
    TOPIC_MODE,
    TOPIC_PLAN_SNAPSHOT,
    TOPIC_POLICY,
    TOPIC_SNAPSHOT,
    Knob,
    SetMode,
    UseDrafter,
    UsePolicy,
)
from ..policies.plan.state import MAX_AHEAD
from ..policies.spaces import check_depth, check_speed
from . import arguments as take
from . import state
from .fleet import Fleet
from .plan.planners import Planners
from .request import RefusedError, Request

if TYPE_CHECKING:
    from ..policies.plan.snapshot import PlanSnapshot
    from ..policies.snapshot import Snapshot
    from .hub import Hub
    from .learner import Learner
    from .plan.learner import PlanLearner

log = logging.getLogger("flyball")

_Arguments = TypeVar("_Arguments", bound=take.Arguments)


class Control:
    """Executes every command.

    Attributes:
        settings: what an operator set.
        fleet: the engines.
        planners: the planners of agents.

    Args:
        hub: through which orders go out.
        learner: what is learned of engines and kept.
        plans: the same of planners.
        run: folder of the run; the settings are kept there.
        speed: the knob at the start; None for what the run had, else 0.5.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        hub: Hub,
        learner: Learner,
        plans: PlanLearner,
        run: Path,
        speed: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fleet = Fleet(hub, learner, clock)
        self.planners = Planners(hub, plans, clock)
        self.settings = state.load(run) or state.Settings(speed=learner.state.speed)
        if speed is not None:
            self.settings.speed = check_speed(speed)
        self._hub = hub
        self._learner = learner
        self._plans = plans
        self._run = run
        self._clock = clock
        self._started = clock()
        self._descriptions: dict[int, dict[str, Any]] = {}
        self._plans.use_reward(learner.reward)
        self._commands = {name: getattr(self, f"_{name}") for name in COMMANDS}
        self._publish_all()

    def hear(self, message: FromEngine, queue: int = 0) -> None:
        """Take what is said on the wire; ``queue`` messages waited together with it."""
        if isinstance(message, Beat):
            self.fleet.beat(message, queue)
        elif isinstance(message, Report):
            self.fleet.report(message)
        elif isinstance(message, PlanBeat):
            self.planners.beat(message)
        else:
            self.planners.report(message)

    def tick(self) -> None:
        """What time brings."""
        self.fleet.tick()
        self.planners.tick()

    def execute(self, request: Request) -> None:
        """Execute a command; it is answered now, or later if it has to wait."""
        try:
            if request.name not in self._commands:
                raise RefusedError(
                    f"no command {request.name!r}; there are {', '.join(COMMANDS)}", 404
                )
            value = self._commands[request.name](request)
            if value is not LATER:
                request.answer(value)
        except RefusedError as e:
            request.refuse(e)
        except Exception:
            # A defect of ours must not end the service that others depend on.
            log.exception("command %s failed", request.name)
            request.refuse(RefusedError("internal error; see the controller's log", 500))

    def status(self) -> dict[str, Any]:
        """Everything, for people; JSON-able."""
        current = self._learner.current()
        return {
            "run": str(self._run),
            "speed": self.settings.speed,
            "reward": self._learner.reward.name,
            "snapshot": current.meta.number if current else 0,
            "up_s": self._clock() - self._started,
            "refused": dict(self._hub.refused),
            "last_refusal": self._hub.last_refusal,
            "learner": self._learner.summary(),
            "engines": self.fleet.status(),
            "plan_learner": self._plans.summary(),
            "planners": self.planners.status(),
        }

    def publish(self, snapshot: Snapshot) -> None:
        """Give every engine a snapshot."""
        self._hub.publish(TOPIC_SNAPSHOT, snapshot.to_bytes())

    def publish_plan(self, snapshot: PlanSnapshot) -> None:
        """Give every planner a snapshot."""
        self._hub.publish(TOPIC_PLAN_SNAPSHOT, snapshot.to_bytes())

    # The commands; each returns its value, or LATER.

    def _status(self, request: Request) -> dict[str, Any]:
        _take(request, take.Nothing)
        return self.status()

    def _knob(self, request: Request) -> dict[str, Any]:
        given = _take(request, take.KnobArguments)
        if not isinstance(given.speed, msgspec.UnsetType):
            self.settings.speed = _checked(check_speed, given.speed)
            self._order_speed()
            self._save()
            log.info("speed %g", self.settings.speed)
        return {"speed": self.settings.speed}

    def _reward(self, request: Request) -> dict[str, Any]:
        given = _take(request, take.RewardArguments)
        if not isinstance(given.reward, msgspec.UnsetType):
            try:
                self._learner.use_reward(given.reward)
            except RewardError as e:
                raise RefusedError(f"{e}; {self._learner.reward.name!r} stays in force") from None
            self._plans.use_reward(self._learner.reward)
            self._learner.checkpoint()  # the next start finds it, however this one ends
            log.info("reward %s", self._learner.reward.name)
        answer = {"reward": self._learner.reward.name}
        if self.planners.heard:
            answer["plan_reward"] = self._plans.reward.name
        return answer

    def _mode(self, request: Request) -> dict[str, Any]:
        given = _take(request, take.ModeArguments)
        engine = (self.planners.get(given.engine) or self.fleet.find(given.engine)).name
        self.settings.modes[engine] = given.mode
        self._order_mode(engine, given.mode)
        self._save()
        log.info("engine %s: mode %s", engine, given.mode)
        return {"engine": engine, "mode": given.mode.value}

    def _policy(self, request: Request) -> dict[str, Any]:
        given = _take(request, take.PolicyArguments)
        name, check = self._choosing(given.engine)
        policy = _checked(check, given.policy)
        self.settings.policies[name] = policy
        self._order_policy(name, policy)
        self._save()
        log.info("engine %s: policy %s", name, policy)
        return {"engine": name, "policy": policy}

    def _drafter(self, request: Request) -> dict[str, Any]:
        given = _take(request, take.DrafterArguments)
        info = self.fleet.find(given.engine).info
        name, drafter = info.engine, given.drafter
        if drafter is None:
            self.settings.drafters.pop(name, None)
        else:
            _checked(lambda d: check_choice(d, info.offered), drafter)
            self.settings.drafters[name] = drafter
        self._order_drafter(name, drafter)
        self._save()
        log.info("engine %s: drafter %s", name, drafter)
        return {"engine": name, "drafter": drafter}

    def _pin(self, request: Request) -> dict[str, Any]:
        given = _take(request, take.PinArguments)
        name, most = self._pinning(given.engine)
        if given.depth is None:
            self.settings.pins.pop(name, None)
        else:
            self.settings.pins[name] = _checked(lambda d: check_depth(d, most), given.depth)
        self._save()
        number = self.fleet.repin(name, given.depth)
        return {"engine": name, "pin": number, "depth": given.depth}

    def _step(self, request: Request) -> object:
        given = _take(request, take.StepArguments)
        view = self.fleet.find(given.engine)
        depth = _checked(lambda d: check_depth(d, view.info.k_max), given.depth)
        self.fleet.step(view, depth, self.settings.modes.get(view.name), request)
        return LATER

    def _observe(self, request: Request) -> dict[str, Any]:
        view = self.fleet.find(_take(request, take.EngineArguments).engine)
        if view.last is None:
            raise RefusedError(
                f"engine {view.name!r} has measured nothing yet; send it requests", 409
            )
        return {
            "engine": view.name,
            "observation": view.last.following,
            "k_max": view.info.k_max,
            "speed": self.settings.speed,
        }

    def _snapshots(self, request: Request) -> dict[str, Any]:
        _take(request, take.Nothing)
        current = self._learner.current()
        return {
            "snapshots": [self._described(n) for n in self._learner.registry.numbers[-_LISTED:]],
            "current": current.meta.number if current else 0,
        }

    def _promote(self, request: Request) -> dict[str, Any]:
        given = _take(request, take.PromoteArguments)
        try:
            snapshot = self._learner.rollback(given.number)
        except (LookupError, ValueError) as e:
            raise RefusedError(str(e.args[0] if e.args else e), 404) from None
        self.publish(snapshot)
        log.info("snapshot %d promoted by hand", snapshot.meta.number)
        return {"snapshot": snapshot.meta.number}

    def _checkpoint(self, request: Request) -> dict[str, Any]:
        _take(request, take.Nothing)
        self._learner.checkpoint()
        return {"run": str(self._run)}

    # What they are made of.

    def _choosing(self, name: str | None) -> tuple[str, Callable[[str], str]]:
        """Whose policy is meant, and what checks one for it."""
        planner = self.planners.get(name)
        if planner is not None:
            return planner.name, check_plan_policy
        view = self.fleet.find(name)
        return view.name, lambda spec: check_policy(spec, view.info)

    def _pinning(self, name: str | None) -> tuple[str, int]:
        """What is to be pinned, and the greatest that it may be pinned to."""
        planner = self.planners.get(name)
        if planner is not None:
            return planner.name, MAX_AHEAD
        view = self.fleet.find(name)
        return view.name, view.info.k_max

    def _described(self, number: int) -> dict[str, Any]:
        """A snapshot of the registry, for people; snapshots never change, so it is kept."""
        if number not in self._descriptions:
            try:
                meta = self._learner.registry.get(number).meta
                self._descriptions[number] = msgspec.to_builtins(meta)
            except (LookupError, ValueError) as e:
                return {"number": number, "error": str(e)}
        return self._descriptions[number]

    def _order_speed(self) -> None:
        self._hub.order(TOPIC_KNOB, Knob(self.settings.speed))
        self._learner.speed(self.settings.speed)
        self._plans.speed(self.settings.speed)

    def _order_mode(self, engine: str, mode: Mode) -> None:
        self._hub.order(TOPIC_MODE + engine.encode(), SetMode(engine, mode))

    def _order_policy(self, engine: str, policy: str) -> None:
        self._hub.order(TOPIC_POLICY + engine.encode(), UsePolicy(engine, policy))

    def _order_drafter(self, engine: str, drafter: str | None) -> None:
        self._hub.order(TOPIC_DRAFTER + engine.encode(), UseDrafter(engine, drafter))

    def _publish_all(self) -> None:
        """What holds now, for engines that were there before this controller."""
        self._order_speed()
        for engine, mode in self.settings.modes.items():
            self._order_mode(engine, mode)
        for engine, policy in self.settings.policies.items():
            self._order_policy(engine, policy)
        for engine, drafter in self.settings.drafters.items():
            self._order_drafter(engine, drafter)
        for engine, depth in self.settings.pins.items():
            self.fleet.pin(engine, depth)
        current, plan = self._learner.current(), self._plans.current()
        if current is not None:
            self.publish(current)
        if plan is not None:
            self.publish_plan(plan)
        self._save()

    def _save(self) -> None:
        state.save(self.settings, self._run)


_LISTED: Final = 100  # newest snapshots that are listed

LATER: Final = object()
"""Returned by a command that will be answered when what it waits for has happened."""

COMMANDS: Final = (
    "checkpoint",
    "drafter",
    "knob",
    "mode",
    "observe",
    "pin",
    "policy",
    "promote",
    "reward",
    "snapshots",
    "status",
    "step",
)
"""Names of the commands; each is a method of ``Control``."""


def _take(request: Request, kind: type[_Arguments]) -> _Arguments:
    """A command's arguments, validated."""
    try:
        return msgspec.convert(request.arguments, kind)
    except msgspec.ValidationError as e:
        raise RefusedError(f"{request.name}: {e}; {kind.usage}") from None


def _checked(check: Callable[[Any], Any], value: Any) -> Any:
    try:
        return check(value)
    except ValueError as e:
        raise RefusedError(str(e)) from None
