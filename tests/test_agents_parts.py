"""Parts of the planner: matching, costs, the budget, tools and the tool world."""

import asyncio
import math

import pytest
from flyball.inference.agents.budget import Budget, Ticket
from flyball.inference.agents.costs import Entry, Fate, Ledger, ModelPrice
from flyball.inference.agents.environment import Nature, Tool, Tools
from flyball.inference.agents.matching import Matcher, exact, identity, normalised
from flyball.inference.agents.planner import Planner
from flyball.inference.agents.protocol import Action, ActionError, Turn, Usage
from flyball.inference.agents.replay.clock import run_virtual
from flyball.inference.agents.tasks import Tasks
from flyball.inference.agents.terms import Limits
from flyball.inference.agents.world import make_task, next_move, plan, solves
from flyball.inference.agents.world_environment import WorldEnvironments
from flyball.policies.plan.fixed import Fixed
from hypothesis import given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(-1e9, 1e9).filter(lambda x: not x.is_integer())
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def rewritten(value):
    """The same JSON value, written another way."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, dict):
        return {name: rewritten(inner) for name, inner in reversed(list(value.items()))}
    return [rewritten(inner) for inner in value] if isinstance(value, list) else value


def same(matching, one, other):
    matcher = Matcher(matching)
    return matcher.same(matcher.write(one), matcher.write(other))


@settings(max_examples=50)
@given(ARGUMENTS)
def test_how_json_is_written_makes_no_difference(arguments):
    one, other = Action("look", arguments), Action("look", rewritten(arguments))
    assert normalised(one) == normalised(other)
    assert same("normalised", one, other)


@settings(max_examples=50)
@given(ARGUMENTS, ARGUMENTS)
def test_what_has_the_same_text_is_the_same(one, other):
    actions = Action("look", one), Action("look", other)
    assert (identity(actions[0]) == identity(actions[1])) == (one == other and _types(one, other))
    if exact(actions[0]) == exact(actions[1]):
        assert normalised(actions[0]) == normalised(actions[1])


def _types(one, other):
    """Whether equal JSON values are equal in their types, too (1 and True are equal)."""
    if isinstance(one, dict):
        return all(_types(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return all(map(_types, one, other))
    return type(one) is type(other)


@pytest.mark.parametrize(
    ("one", "other", "matching", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "exact", False),
        ({"a": 1}, {"a": 1}, "exact", True),
        ({"a": 1}, {"a": 1.0}, "exact", False),
        ({"a": 1}, {"a": 1.0}, "normalised", True),
        ({"a": 1}, {"a": True}, "normalised", False),
        ({"a": "1"}, {"a": 1}, "normalised", False),
        ({"a": [{"b": 2.0}]}, {"a": [{"b": 2}]}, "normalised", True),
        ({"a": 1}, {"a": 9}, lambda a, t: a.tool == t.tool, True),
    ],
)
def test_when_actions_match(one, other, matching, expected):
    assert same(matching, Action("look", one), Action("look", other)) is expected


def test_no_other_tool_and_no_other_matching():
    assert not same("normalised", Action("look", {}), Action("see", {}))
    with pytest.raises(ValueError, match="exact, normalised or a function, got 'fuzzy'"):
        Matcher("fuzzy")


@pytest.mark.parametrize("value", [math.nan, math.inf, {1}, object()])
def test_what_is_not_json_is_no_action(value):
    for write in (exact, normalised, identity):
        with pytest.raises(ActionError, match="not JSON"):
            write(Action("look", {"a": value}))


def test_cached_prompt_tokens_have_their_own_price():
    price = ModelPrice(prompt=0.40, cached=0.10, completion=1.60)
    usage = Usage(prompt=1000, cached=600, completion=50)
    assert price.dollars(usage) == pytest.approx((400 * 0.4 + 600 * 0.1 + 50 * 1.6) / 1e6)
    with pytest.raises(ValueError, match=r"completion price .* got -1"):
        ModelPrice(1.0, 1.0, -1)


def test_a_ledger_adds_up_however_it_is_asked():
    ledger, other = Ledger(), Ledger()
    ledger.charge("T", Fate.USED, Entry(1, Usage(10, 0, 5), 0.5, 2.0))
    ledger.charge("A", Fate.USED, Entry(1, Usage(10, 0, 1), 0.1, 1.0))
    other.charge("T", Fate.CANCELLED, Entry(2, Usage(20, 5, 3), 0.4, 3.0))
    ledger.add(other)
    assert ledger.dollars == pytest.approx(1.0)
    assert ledger.committed.dollars == pytest.approx(0.6)
    assert ledger.wasted.usage == Usage(20, 5, 3)
    assert ledger.total("T").calls == 3
    assert ledger.total("A", Fate.CANCELLED).calls == 0
    assert other.dollars == pytest.approx(0.4)


def test_a_freed_slot_goes_to_the_certain_then_to_the_run_with_the_fewest_calls():
    order = []

    async def hold(budget, ticket, name):
        await budget.acquire(ticket)
        order.append(name)
        await asyncio.sleep(1.0)
        budget.release(ticket)

    async def contend():
        budget = Budget(2)
        busy, idle = budget.join(), budget.join()
        late = Ticket(busy, certain=False)
        names = [
            (Ticket(busy, certain=True), "running 1"),
            (Ticket(busy, certain=True), "running 2"),
            (Ticket(busy, certain=False), "busy"),
            (Ticket(idle, certain=False), "idle"),
            (late, "certain by then"),
        ]
        tasks = [asyncio.create_task(hold(budget, *each)) for each in names]
        await asyncio.sleep(0.5)
        assert (budget.in_flight, budget.free, busy.in_flight) == (2, 0, 2)
        late.certain = True
        await asyncio.gather(*tasks)
        assert budget.free == 2

    run_virtual(contend())
    assert order == ["running 1", "running 2", "certain by then", "idle", "busy"]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.booleans()), max_size=12),
    st.integers(1, 3),
)
def test_cancelled_calls_take_no_slot_with_them(calls, limit):
    async def contend():
        budget = Budget(limit)
        member = budget.join()

        async def hold(seconds):
            ticket = Ticket(member, certain=False)
            await budget.acquire(ticket)
            try:
                assert budget.in_flight <= limit
                await asyncio.sleep(seconds)
            finally:
                budget.release(ticket)

        tasks = [asyncio.create_task(hold(seconds)) for _, seconds, _ in calls]
        loop = asyncio.get_running_loop()
        for task, (when, _, cancelled) in zip(tasks, calls, strict=True):
            if cancelled:
                loop.call_at(when, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (budget.in_flight, budget.free, member.in_flight) == (0, limit, 0)
        assert all(
            not task.cancelled() for task, call in zip(tasks, calls, strict=True) if not call[2]
        )

    run_virtual(contend())


def test_a_call_that_has_ended_keeps_its_slot_until_it_is_released():
    async def contend():
        budget = Budget(1)
        member = budget.join()
        first, second = Ticket(member, certain=True), Ticket(member, certain=True)
        await budget.acquire(first)
        waiting = asyncio.create_task(budget.acquire(second))
        budget.end(first)
        await asyncio.sleep(1.0)
        assert not waiting.done()
        assert (budget.in_flight, member.in_flight, budget.free) == (0, 0, 0)
        budget.release(first)
        budget.release(first)  # has none any more
        await waiting
        assert (budget.in_flight, member.in_flight, budget.free) == (1, 1, 0)
        budget.release(second)
        assert (budget.in_flight, member.in_flight, budget.free) == (0, 0, 1)

    run_virtual(contend())


def test_a_budget_of_none_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Budget(0)
    with pytest.raises(ValueError, match="at least 1"):
        Budget(math.nan)


def test_tools_are_checked_by_their_signatures():
    tools = Tools(
        [
            Tool("add", lambda a, b=0: str(a + b)),
            Tool("send", lambda to: "sent", effectful=True, final=True),
        ]
    )
    assert tools.check(Action("add", {"a": 1})) == Nature()
    assert tools.check(Action("send", {"to": "Ada"})) == Nature(effectful=True, final=True)
    assert tools.execute(Action("add", {"a": 1, "b": 2})) == "3"
    with pytest.raises(ActionError, match="no tool fly; there are add, send"):
        tools.check(Action("fly", {}))
    with pytest.raises(ActionError, match="send takes \\(to\\): missing"):
        tools.check(Action("send", {}))
    with pytest.raises(ActionError, match="unexpected keyword argument 'c'"):
        tools.check(Action("add", {"a": 1, "c": 2}))
    with pytest.raises(ValueError, match="two tools are called add"):
        Tools([Tool("add", str), Tool("add", str)])


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"approximation_seconds": 0},
        {"target_seconds": math.nan},
        {"retries": -1},
        {"backoff": -1.0},
        {"backoff": math.inf},
    ],
)
def test_limits_are_checked(options):
    with pytest.raises(ValueError, match="must"):
        Limits(**options)


def test_tasks_are_waited_for_even_when_the_wait_is_cancelled():
    ended = []

    async def stubborn():
        try:
            await asyncio.sleep(100.0)
        finally:
            await asyncio.sleep(5.0)
            ended.append(asyncio.get_running_loop().time())

    async def close():
        tasks = Tasks()
        tasks.start(stubborn(), lambda task: None)
        await asyncio.sleep(1.0)
        closing = asyncio.create_task(tasks.close())
        await asyncio.sleep(1.0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(close())
    assert ended == [6.0]


class Expert:
    """Knows the right plan, and says it as long as it may."""

    def __init__(self, model, knows):
        self.model = model
        self._knows = knows

    async def act(self, task, steps, call):
        call.usage.prompt += 50
        await asyncio.sleep(1.0 if self.model == "small" else 4.0)
        call.usage.completion += 10
        thought, action = next_move(task, [step.observation for step in steps])
        if not self._knows(len(steps)):
            return Turn(Action("read_file", {"path": "nowhere"}))
        return Turn(action, thought)


@pytest.mark.parametrize("barrier", [False, True])
@pytest.mark.parametrize("difficulty", [1, 3, 5])
def test_the_tool_world_s_tasks_are_solved_ahead_of_their_verification(difficulty, barrier):
    prices = {"small": ModelPrice(1, 1, 1), "large": ModelPrice(9, 9, 9)}

    async def solve(ahead, task):
        planner = Planner(
            Expert("small", lambda index: index % 3 != 1),
            Expert("large", lambda index: True),
            WorldEnvironments(),
            Fixed(ahead, barrier),
            prices,
            describe=lambda task: task.goal,
        )
        return await planner.run(task)

    for seed in range(8):
        task = make_task(seed, difficulty)
        ahead, behind = (run_virtual(solve(steps, task)) for steps in (3, 0))
        right = [(step.action, step.observation) for step in plan(task)]
        assert [(step.action, step.observation) for step in ahead.steps] == right
        assert [(step.action, step.observation) for step in behind.steps] == right
        assert solves(task, ahead.actions)
        assert ahead.seconds <= behind.seconds
        assert ahead.decisions[0].state.task == task.goal
