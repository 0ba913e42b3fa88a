"""The tool world: tasks, the planner, the checker, and what agents read and write."""

import json

import pytest
from flyball.inference.agents.world import (
    DIFFICULTIES,
    STYLES,
    TOOLS,
    Action,
    ActionError,
    Event,
    Offer,
    State,
    World,
    make_task,
    messages,
    next_move,
    parse,
    parse_action,
    plan,
    prompt,
    solves,
    transcript,
    write,
)

SEEDS = range(60)


@pytest.fixture
def world():
    return World(
        State(
            files={"plans/trip.txt": "Pack tea.", "plans/old.txt": "Nothing."},
            events=(Event("Ada Roth", "2026-03-04", 480, 60, "tea lecture"),),
            facts={("Oslo", "mayor"): "Ivo Lund"},
            offers=(
                Offer("F2", "flight", "Oslo", "Rome", "2026-03-04", 600, 90),
                Offer("F1", "flight", "Oslo", "Rome", "2026-03-04", 500, 120),
                Offer("H1", "hotel", "", "Rome", "", 0, 70),
            ),
        )
    )


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_right_plan_solves_every_task_without_an_error(difficulty):
    for seed in SEEDS:
        task = make_task(seed, difficulty)
        steps = plan(task)
        assert solves(task, [step.action for step in steps]), task.kind
        assert not any(step.observation.startswith("Error") for step in steps), task.kind


def test_difficulty_is_the_number_of_calls_before_the_answer():
    calls = {
        difficulty: {len(plan(make_task(seed, difficulty))) - 1 for seed in SEEDS}
        for difficulty in DIFFICULTIES
    }
    assert calls == {1: {1}, 2: {2}, 3: {3}, 4: {5}, 5: {6, 7}}


def test_a_task_is_a_function_of_seed_and_difficulty():
    assert make_task(7, 4) == make_task(7, 4)
    assert make_task(7, 4) != make_task(8, 4)
    with pytest.raises(ValueError, match="1 to 5"):
        make_task(7, 6)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_a_plan_that_stops_short_or_answers_wrongly_solves_nothing(difficulty):
    task = make_task(3, difficulty)
    actions = [step.action for step in plan(task)]
    assert not solves(task, [])
    assert not solves(task, actions[:-1])
    assert not solves(task, [*actions[:-1], Action("finish", {"answer": "no idea"})])
    assert not solves(task, [*actions[:-1], Action("nonsense", {})])


def test_effects_that_were_not_asked_for_are_no_solution():
    task = make_task(3, 1)
    actions = [step.action for step in plan(task)]
    extra = Action("write_file", {"path": "x.txt", "text": "x"})
    assert not solves(task, [extra, *actions])


def test_a_missing_effect_is_no_solution():
    task = next(t for t in (make_task(s, 3) for s in SEEDS) if t.kind == "book_and_save")
    actions = [step.action for step in plan(task)]
    assert not solves(task, [action for action in actions if action.tool != "book"])


def test_extra_pure_calls_do_no_harm():
    task = make_task(3, 5)
    actions = [step.action for step in plan(task)]
    assert solves(task, [Action("list_files", {"folder": "nowhere"}), *actions])


def test_the_planner_goes_on_from_any_right_beginning():
    task = make_task(11, 5)
    steps = plan(task)
    for done in range(len(steps)):
        seen = [step.observation for step in steps[:done]]
        assert next_move(task, seen) == (steps[done].thought, steps[done].action)
    assert next_move(task, [step.observation for step in steps]) is None


@pytest.mark.parametrize("style", STYLES)
def test_every_turn_of_every_plan_parses_back(style):
    for difficulty in DIFFICULTIES:
        for step in plan(make_task(5, difficulty)):
            thought, action = parse(write(step.thought, step.action, style), style)
            assert action == step.action
            assert thought == (step.thought if style == "thought" else "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Action"),
        ("Action: read_file {'path': 'x'}", "not JSON"),
        ('Action: read_file {"path": "x"', "not JSON"),
        ('Action: read_file {"path": "x"} and more', "not JSON"),
        ('Action: read_file {"path": NaN}', "NaN"),
        ('Action: read_file {"path": true}', "string or a number"),
        ('Action: read_file {"path": ["x"]}', "string or a number"),
        ('Action: read_file {"path": "x", "path": "y"}', "twice"),
        ('Action: read_file ["x"]', "JSON object"),
        ('Action: __import__("os") {}', "tool's name"),
        ('Action: read_file {"path": "x"}\nAction: read_file {"path": "y"}', "exactly one"),
        ("Thought: hm\nAction: finish {}", "exactly one"),
        ("Action: f " + "[" * 100_000, "not JSON"),
    ],
)
def test_malformed_turns_are_refused_with_the_reason(text, complaint):
    with pytest.raises(ActionError, match=complaint):
        parse(text, "act")


def test_the_thought_style_needs_its_thought():
    with pytest.raises(ActionError, match="Thought"):
        parse('Action: finish {"answer": "1"}', "thought")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("launch_rocket {}", "no tool launch_rocket"),
        ("read_file {}", "takes"),
        ('read_file {"path": "x", "mode": "w"}', "takes"),
        ('find_slot {"person": "A", "date": "d", "minutes": "30"}', "minutes must be int"),
        ('convert {"value": "1", "from": "km", "to": "m"}', "value must be float"),
    ],
)
def test_unknown_tools_and_wrong_arguments_are_refused(world, line, complaint):
    with pytest.raises(ActionError, match=complaint):
        world.execute(parse_action(line))


@pytest.mark.parametrize(
    ("line", "observation"),
    [
        ('list_files {"folder": "plans"}', "plans/old.txt, plans/trip.txt"),
        ('read_file {"path": "plans/trip.txt"}', "Pack tea."),
        ('read_file {"path": "nope"}', "Error: no file nope"),
        ('search_files {"text": "tea"}', "plans/trip.txt"),
        ('lookup {"subject": "Oslo", "field": "mayor"}', "Ivo Lund"),
        ('lookup {"subject": "Oslo", "field": "size"}', "Error: no size of Oslo"),
        ('convert {"value": 2, "from": "km", "to": "m"}', "2000.00 m"),
        ('convert {"value": 2, "from": "km", "to": "kg"}', "Error: km is a length, kg a mass"),
        ('convert {"value": 2, "from": "ell", "to": "kg"}', "Error: no unit ell"),
        ('list_events {"person": "Ada Roth", "date": "2026-03-04"}', "08:00 tea lecture (60 min)"),
        ('find_slot {"person": "Ada Roth", "date": "2026-03-04", "minutes": 30}', "Free at 09:00"),
        ('find_slot {"person": "Ada Roth", "date": "2026-03-04", "minutes": 900}', "Error: "),
        ('search_trains {"from": "Oslo", "to": "Rome", "date": "2026-03-04"}', "Error: no train"),
        ('search_hotels {"city": "Rome"}', "H1 70 EUR"),
        ('book {"offer": "F9"}', "Error: no offer F9"),
    ],
)
def test_tools_observe(world, line, observation):
    assert world.execute(parse_action(line)).startswith(observation)


def test_flights_are_listed_by_departure_and_booked_once(world):
    search = parse_action('search_flights {"from": "Oslo", "to": "Rome", "date": "2026-03-04"}')
    assert world.execute(search) == "F1 08:20 120 EUR; F2 10:00 90 EUR"
    book = parse_action('book {"offer": "F2"}')
    assert world.execute(book).startswith("Booked F2: R")
    assert world.execute(book) == "Error: F2 is booked already"


@pytest.mark.parametrize("start", ["9", "25:00", "08:30", "noon"])
def test_events_are_not_added_at_no_time_or_over_others(world, start):
    before = world.state
    line = f'add_event {{"person": "Ada Roth", "date": "2026-03-04", "start": "{start}"'
    observed = world.execute(parse_action(line + ', "minutes": 60, "title": "walk"}'))
    assert observed.startswith("Error: ")
    assert world.state == before


def test_only_effectful_tools_change_the_state():
    changing = set()
    for difficulty in DIFFICULTIES:
        for seed in SEEDS:
            task = make_task(seed, difficulty)
            world = World(task.state)
            for step in plan(task):
                before = world.state
                world.execute(step.action)
                if world.state != before:
                    changing.add(step.action.tool)
    effectful = {name for name, tool in TOOLS.items() if tool.purity == "effectful"}
    assert changing == effectful


def test_a_fork_runs_ahead_without_touching_its_origin(world):
    ahead = world.fork()
    ahead.execute(Action("write_file", {"path": "a.txt", "text": "b"}))
    assert "a.txt" in ahead.state.files
    assert "a.txt" not in world.state.files


def test_a_prompt_grows_by_turns_so_that_prefixes_can_be_cached():
    task = make_task(2, 4)
    steps = plan(task)
    whole = transcript(task, steps, "thought")
    for done in range(len(steps)):
        begun = prompt(task, steps[:done], "thought")
        assert whole.startswith(begun)
        turn = write(steps[done].thought, steps[done].action, "thought")
        assert whole[len(begun) :].startswith(turn + "<|end|>")


def test_messages_take_turns():
    task = make_task(2, 3)
    chat = messages(task, plan(task), "act")
    roles = [message["role"] for message in chat]
    assert roles == ["system", "user"] + ["assistant", "tool"] * 4
    assert not any("Thought" in message["content"] for message in chat)


def test_arguments_are_json_that_anyone_can_read():
    for step in plan(make_task(9, 5)):
        tool, _, arguments = str(step.action).partition(" ")
        assert tool in TOOLS
        assert json.loads(arguments) == dict(step.action.arguments)


def test_what_a_plan_searches_for_is_in_one_file_alone():
    # The topic of this one is tin, and another file was about satin.
    task = make_task(5700, 5)
    assert solves(task, [step.turn.action for step in plan(task)])
