"""``flyball agents demo``: agents on two live engines, with a controller whose knob is turned.

First a planner that follows the controller does tasks while the knob is turned from 0 to 1, by the
demo or by whoever likes to: it learns online, and the controller from it. Then the arms take turns
on the same tasks: the target agent alone, fixed numbers of steps ahead, and learned ones at three
speeds, each with a governor of its own, so that none knows a task from another's run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, Final

from ...inference.address import Address, parse_address
from ...inference.agents.governor import PlanGovernor
from ...inference.agents.messages import PlannerInfo
from ...inference.agents.trajectory import Trajectory
from ...inference.agents.world import Task
from ...inference.client import ControllerClient
from ...inference.models.family import DRAFT, TARGET
from ...policies.plan.catalogue import make_plan_policy
from ...policies.plan.policy import PlanPolicy
from ..engines import free_ports, models
from ..result import write
from ..session import await_controller, controller_process
from .arms import FIXED, OFF, OURS, WINDOW, Arm
from .live import LiveRuns, described, graded_tasks, live_figures, run_once
from .pair import Connected, agent_pair, served
from .window_view import WindowView

PLANNER: Final = "agents"
"""Name of the planner that follows the knob."""

TURNS: Final = (0.0, 0.5, 1.0)
"""Speeds to which the demo turns the knob."""

DEMO_ARMS: Final = (
    Arm(FIXED, OFF),
    *(Arm(WINDOW, f"fixed:{k}") for k in (2, 4)),
    *(Arm(OURS, "learned", speed) for speed in TURNS),
)
"""What is compared; the first is the target agent alone."""

_TOUR: Final = 0.35  # share of the time in which the knob is turned
_WAIT: Final = 2.0  # seconds for the knob to be in force


@dataclass(frozen=True, kw_only=True)
class AgentsDemoOptions:
    """Every option of the demo."""

    seconds: float = 150.0
    """that tasks are run for; the engines' start comes on top"""
    seed: int = 0
    """of tasks, order and learning"""
    out: Path = Path("runs/agents")
    """folder for the summary, the plot and the controller's run"""
    target: Path | None = None
    """folder of the target model; the embedded one by default"""
    draft: Path | None = None
    """folder of the draft model; the embedded one by default"""
    cores: frozenset[int] | None = None
    """processors for the models' threads; all by default"""
    compiled: bool = False
    """have vLLM compile the models first, which takes longer to start"""

    def __post_init__(self) -> None:
        if not 10.0 <= self.seconds <= 36000.0:
            raise ValueError(f"seconds must be in [10, 36000], not {self.seconds:g}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


def run_agents_demo(
    options: AgentsDemoOptions, view: WindowView, progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Run it, write ``summary.json`` and the plot, and return the summary.

    Args:
        options: of the demo.
        view: shows what happens.
        progress: is told what happens.

    Raises:
        BenchError, EngineError: if something did not start, or did not answer.
        ValueError, FileNotFoundError: if the models cannot be used.
    """
    found = models(options.target, options.draft)
    run = options.out / f"controller__{options.seed}__{time.strftime('%Y%m%d-%H%M%S')}"
    run.mkdir(parents=True, exist_ok=True)
    extra = () if options.compiled else ("--enforce-eager",)
    pair = agent_pair(found, run, options.cores, extra)
    progress("starting two engines and a controller")
    with ExitStack() as stack:
        # The controller is awaited with the engines already on their way.
        address, client = stack.enter_context(_controller(run, options.seed))
        stack.enter_context(served(pair))
        progress(
            f"controller at {client.url}: try `flyball knob 1 --url {client.url}`; "
            f"`flyball tensorboard {run}` shows the learning"
        )
        demo = _Demo(options, address, client, view)
        runs = asyncio.run(demo.run(pair.connected))
        status = client.status()
    summary = {
        "seed": options.seed,
        "models": {TARGET: str(found.target), DRAFT: str(found.draft)},
        "run": str(run),
        "tasks": len(runs.tasks),
        "arms": described(runs),
        "figures": live_figures(runs, options.seed),
        "tour": demo.tour,
        "planners": status["planners"],
    }
    from .live_plots import draw_live

    summary["plots"] = [str(draw_live(runs, options.out))]
    write(options.out / "summary.json", summary)
    return summary


@contextmanager
def _controller(run: Path, seed: int) -> Iterator[tuple[Address, ControllerClient]]:
    first = free_ports(4)
    address, http = parse_address(f"tcp://127.0.0.1:{first}"), f"127.0.0.1:{first + 3}"
    with (
        controller_process(address, http, run, seed) as process,
        ControllerClient(f"http://{http}") as client,
    ):
        await_controller(client, process, run, 180.0)
        yield address, client


class _Demo:
    """The demo on what is running.

    Args:
        options: of the demo.
        address: of the controller.
        client: of its HTTP API.
        view: shows what happens.
    """

    def __init__(
        self,
        options: AgentsDemoOptions,
        address: Address,
        client: ControllerClient,
        view: WindowView,
    ) -> None:
        self.tour: list[dict[str, Any]] = []
        self._options = options
        self._address = address
        self._client = client
        self._view = view
        self._rng = Random(options.seed)
        self._links = ExitStack()

    async def run(self, connected: Callable[[], Any]) -> LiveRuns:
        """All of it."""
        with self._links:
            async with connected() as agents:
                begun = time.monotonic()
                await self._tour(agents, begun)
                return await self._compare(agents, begun + self._options.seconds)

    async def _tour(self, agents: Connected, begun: float) -> None:
        """The knob is turned while tasks are run by a planner that follows it."""
        governor = self._governor(PLANNER)
        tasks = iter(graded_tasks(1000, self._options.seed + 1))
        each = _TOUR * self._options.seconds / len(TURNS)
        for i, speed in enumerate(TURNS, 1):
            self._view.phase = "the knob is turned while tasks run"
            await self._turn(governor, speed)
            # One task at least, however slow the machine.
            while True:
                task = next(tasks)
                now = governor.book.orders.speed
                self._view.speed = now
                salt = f"tour {task.seed}"
                run = await self._task(agents, governor, f"speed {now:g}", task, now, salt)
                self.tour.append(_short(run, now))
                if time.monotonic() >= begun + i * each:
                    break

    async def _compare(self, agents: Connected, until: float) -> LiveRuns:
        """All arms in turn on every task, while there is time."""
        self._view.phase, self._view.speed = "the arms in turn on the same tasks", None
        deciders = {arm: self._decider(arm) for arm in DEMO_ARMS}
        runs = LiveRuns(DEMO_ARMS)
        longest = 0.0
        for task in graded_tasks(1000, self._options.seed):
            begun = time.monotonic()
            if runs.tasks and begun + longest > until:
                break
            for arm in self._rng.sample(DEMO_ARMS, len(DEMO_ARMS)):
                salt = f"{task.seed}.{DEMO_ARMS.index(arm)}"
                run = await self._task(agents, deciders[arm], _name(arm), task, arm.speed, salt)
                runs.runs[arm].append(run)
            runs.tasks.append(task)
            longest = max(longest, time.monotonic() - begun)
        runs.decide_ms = [
            1e-3 * decider.beat().decide_us_p99
            for decider in deciders.values()
            if isinstance(decider, PlanGovernor)
        ]
        return runs

    async def _task(
        self,
        agents: Connected,
        decider: PlanPolicy,
        arm: str,
        task: Task,
        speed: float,
        salt: str,
    ) -> Trajectory:
        self._view.begin(arm, task.goal)
        run = await run_once(agents, decider, speed, salt, task, self._view.watch)
        self._view.end(run)
        return run

    async def _turn(self, governor: PlanGovernor, speed: float) -> None:
        """Turn the knob, and wait until the planner has heard of it."""
        await asyncio.to_thread(self._client.set_knob, speed)
        until = time.monotonic() + _WAIT
        while governor.book.orders.speed != speed and time.monotonic() < until:
            await asyncio.sleep(0.02)

    def _decider(self, arm: Arm) -> PlanPolicy:
        if arm.family == OURS:
            return self._governor(f"{PLANNER}-{arm.speed:g}", own_speed=True)
        return make_plan_policy(arm.spec)

    def _governor(self, name: str, own_speed: bool = False) -> PlanGovernor:
        info = PlannerInfo(
            planner=name,
            approximation=DRAFT,
            target=TARGET,
            versions={"flyball": version("flyball")},
        )
        governor = PlanGovernor(info, own_speed=own_speed, seed=self._options.seed)
        self._links.callback(governor.connect(self._address).close)
        return governor


def _name(arm: Arm) -> str:
    return "target alone" if arm.spec == OFF else arm.name


def _short(run: Trajectory, speed: float) -> dict[str, Any]:
    """A run of the tour, for the summary."""
    verdicts = [step.matched for step in run.steps if step.matched is not None]
    return {
        "speed": speed,
        "steps": len(run.steps),
        "seconds": run.seconds,
        "dollars": run.ledger.dollars,
        "wasted": run.ledger.wasted.dollars,
        "proposed": len(verdicts),
        "matched": sum(verdicts),
        "greatest_concurrency": run.greatest_concurrency,
    }
