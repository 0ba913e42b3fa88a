"""Tasks of graded difficulty, the planner that knows the right plan, and the checker."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..protocol import Action, ActionError, Step, Turn
from .recipes_long import DEPENDENT, LONG, THREE_CALLS
from .recipes_short import EASY, TWO_CALLS, Made
from .scenery import Scenery
from .script import Move, Script
from .state import State
from .world import World

DIFFICULTIES = (1, 2, 3, 4, 5)

# Difficulty to recipes. It counts calls, and how many of them need an earlier observation:
# 1: one call; 2: two; 3: three; 4: five, two levels of dependence; 5: six or seven, three levels.
RECIPES: dict[int, tuple[Callable[[Scenery], Made], ...]] = {
    1: EASY,
    2: TWO_CALLS,
    3: THREE_CALLS,
    4: DEPENDENT,
    5: LONG,
}


@dataclass(frozen=True)
class Task:
    """Something to do in a world of its own.

    Attributes:
        seed: The task is a function of the seed and the difficulty.
        difficulty: 1 to 5.
        kind: Name of the recipe.
        goal: What the user asks for.
        state: The world's state at the start.
        script: The right plan, as a generator function.
    """

    seed: int
    difficulty: int
    kind: str
    goal: str
    state: State
    script: Script = field(repr=False, compare=False)


def make_task(seed: int, difficulty: int) -> Task:
    """Make the task with this seed and difficulty; always the same one."""
    if difficulty not in RECIPES:
        raise ValueError(f"difficulty must be 1 to 5, got {difficulty}")
    rng = random.Random(f"{seed}/{difficulty}")
    recipe = rng.choice(RECIPES[difficulty])
    scenery = Scenery(rng)
    goal, script = recipe(scenery)
    return Task(seed, difficulty, recipe.__name__, goal, scenery.state(), script)


def next_move(task: Task, observations: Sequence[str]) -> Move | None:
    """Return the right (thought, action) after these observations, or None after the last.

    Args:
        task: The task.
        observations: What the right plan's first moves observed, in order.
    """
    moves = task.script()
    try:
        right = next(moves)
        for observation in observations:
            right = moves.send(observation)
    except StopIteration:
        return None
    return right


def plan(task: Task) -> tuple[Step, ...]:
    """Return the right plan, executed in the task's own world."""
    world = World(task.state)
    steps: list[Step] = []
    moves = task.script()
    try:
        thought, action = next(moves)
        while True:
            observation = world.execute(action)
            steps.append(Step(Turn(action, thought), observation))
            thought, action = moves.send(observation)
    except StopIteration:
        return tuple(steps)


def solves(task: Task, actions: Iterable[Action]) -> bool:
    """Tell whether the actions solve the task.

    They do when they end with the right answer in a state in which the right plan's effects,
    and no other ones, are to be found. Which pure tools were called on the way, and the order
    of effects that do not depend on each other, make no difference.
    """
    right = plan(task)
    world = World(task.state)
    done = tuple(actions)
    try:
        for action in done:
            world.execute(action)
    except ActionError:
        return False
    if not done or done[-1] != right[-1].action:
        return False
    return _effects(world.state) == _effects(_after(task, right))


def _after(task: Task, steps: Iterable[Step]) -> State:
    world = World(task.state)
    for step in steps:
        world.execute(step.action)
    return world.state


def _effects(state: State) -> tuple[dict[str, str], frozenset[object], frozenset[str]]:
    return dict(state.files), frozenset(state.events), frozenset(state.bookings)
