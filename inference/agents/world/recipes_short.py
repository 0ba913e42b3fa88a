"""Recipes of difficulty 1 and 2: one call, or a second one that needs what the first observed."""

from __future__ import annotations

from .scenery import MEASURES, Scenery
from .script import Moves, Script, finish, measure, move, slot
from .units import UNITS

Made = tuple[str, Script]


def other_unit(scenery: Scenery, unit: str) -> str:
    """Another unit of the same dimension."""
    dimension = UNITS[unit][0]
    return scenery.rng.choice([u for u, (d, _) in UNITS.items() if d == dimension and u != unit])


def converted(value: float, unit: str, to: str) -> tuple[str, str, dict[str, str | float]]:
    """The arguments of a `move` that converts."""
    return (
        f"I convert {value:g} {unit} to {to}.",
        "convert",
        {"value": value, "from_": unit, "to": to},
    )


def convert(scenery: Scenery) -> Made:
    """Convert a given value."""
    rng = scenery.rng
    unit = rng.choice(list(UNITS))
    value, to = rng.randint(2, 4000) / 4, other_unit(scenery, unit)
    value = int(value) if value == int(value) else value
    goal = rng.choice(("Convert {} {} to {}.", "How much is {} {} in {}?"))

    def script() -> Moves:
        thought, tool, arguments = converted(value, unit, to)
        yield finish((yield move(thought, tool, **arguments)))

    return goal.format(f"{value:g}", unit, to), script


def fact(scenery: Scenery) -> Made:
    """Look up one field."""
    rng = scenery.rng
    subject, field = rng.choice(
        (
            (scenery.person(), rng.choice(("home", "phone", "email"))),
            (scenery.city(), rng.choice(("population", "elevation", "mayor"))),
            (scenery.product(), rng.choice(("price", *MEASURES))),
        )
    )
    goal = rng.choice(("What is the {0} of {1}?", "Tell me the {0} of {1}."))

    def script() -> Moves:
        yield finish(
            (
                yield move(
                    f"I look up the {field} of {subject}.", "lookup", subject=subject, field=field
                )
            )
        )

    return goal.format(field, subject), script


def read(scenery: Scenery) -> Made:
    """Read a file."""
    path = scenery.file(scenery.note())
    scenery.file(scenery.note())
    goal = scenery.rng.choice(("What does {} say?", "Read {} to me."))

    def script() -> Moves:
        yield finish((yield move(f"I read {path}.", "read_file", path=path)))

    return goal.format(path), script


def agenda(scenery: Scenery) -> Made:
    """List a day's events."""
    person, date = scenery.person(), scenery.date()
    scenery.day(person, date)
    goal = scenery.rng.choice(("What does {} have on {}?", "List the events of {} on {}."))

    def script() -> Moves:
        thought = f"I list the events of {person} on {date}."
        yield finish((yield move(thought, "list_events", person=person, date=date)))

    return goal.format(person, date), script


def folder(scenery: Scenery) -> Made:
    """List a folder."""
    where = scenery.path().split("/")[0]
    for _ in range(scenery.rng.randint(1, 3)):
        scenery.file(scenery.note(), folder=where)
    goal = scenery.rng.choice(("Which files are in {}?", "List the folder {}."))

    def script() -> Moves:
        yield finish((yield move(f"I list the folder {where}.", "list_files", folder=where)))

    return goal.format(where), script


def find_and_read(scenery: Scenery) -> Made:
    """Find the file that mentions a word, then read it."""
    topic = scenery.topic()
    scenery.file(f"{scenery.note()} The {topic} is in {scenery.city()}.")
    for _ in range(2):
        scenery.file(scenery.note())
    goal = scenery.rng.choice(("What does the file about {} say?", "Read the file on {}."))

    def script() -> Moves:
        path = yield move(f"I search the files for {topic}.", "search_files", text=topic)
        yield finish((yield move(f"The file is {path}. I read it.", "read_file", path=path)))

    return goal.format(topic), script


def fact_in_unit(scenery: Scenery) -> Made:
    """Look up a measure, then convert it."""
    product, field = scenery.product(), scenery.rng.choice(list(MEASURES))
    unit = scenery.facts[product, field].split()[1]
    to = other_unit(scenery, unit)
    goal = scenery.rng.choice(("What is the {0} of {1} in {2}?", "Give the {0} of {1} in {2}."))

    def script() -> Moves:
        thought = f"I look up the {field} of {product}."
        value, unit = measure((yield move(thought, "lookup", subject=product, field=field)))
        thought, tool, arguments = converted(value, unit, to)
        yield finish((yield move(thought, tool, **arguments)))

    return goal.format(field, product, to), script


def free_slot(scenery: Scenery) -> Made:
    """Find the first free slot of a day and put an event there."""
    person, date, title = scenery.person(), scenery.date(), scenery.title()
    scenery.day(person, date)
    minutes = scenery.rng.choice((30, 45, 60))
    goal = scenery.rng.choice(
        (
            "Add a {0} of {1} minutes to the first free time of {2} on {3}. When is it?",
            "On {3}, find {2} the first free {1} minutes and add a {0}. When is it?",
        )
    )

    def script() -> Moves:
        thought = f"I look for {minutes} free minutes of {person} on {date}."
        seen = yield move(thought, "find_slot", person=person, date=date, minutes=minutes)
        yield move(
            f"The first free time is {slot(seen)}. I add the {title}.",
            "add_event",
            person=person,
            date=date,
            start=slot(seen),
            minutes=minutes,
            title=title,
        )
        yield finish(slot(seen))

    return goal.format(title, minutes, person, date), script


def note_fact(scenery: Scenery) -> Made:
    """Look up a field and write it to a file."""
    rng = scenery.rng
    person, field, path = scenery.person(), rng.choice(("home", "phone", "email")), scenery.path()
    goal = rng.choice(("Write the {0} of {1} to {2}.", "Save in {2} the {0} of {1}."))

    def script() -> Moves:
        thought = f"I look up the {field} of {person}."
        seen = yield move(thought, "lookup", subject=person, field=field)
        thought = f"The {field} is {seen}. I write it to {path}."
        yield move(thought, "write_file", path=path, text=seen)
        yield finish(path)

    return goal.format(field, person, path), script


def file_in_unit(scenery: Scenery) -> Made:
    """Read a measure in a file, then convert it."""
    rng = scenery.rng
    unit = rng.choice(list(UNITS))
    to = other_unit(scenery, unit)
    path = scenery.file(f"The {scenery.topic()} takes {rng.randint(8, 2000) / 4:g} {unit}.")
    goal = rng.choice(("Convert the value in {} to {}.", "How much is the value in {}, in {}?"))

    def script() -> Moves:
        value, unit = measure((yield move(f"I read {path}.", "read_file", path=path)))
        thought, tool, arguments = converted(value, unit, to)
        yield finish((yield move(thought, tool, **arguments)))

    return goal.format(path, to), script


EASY = (convert, fact, read, agenda, folder)
TWO_CALLS = (find_and_read, fact_in_unit, free_slot, note_fact, file_in_unit)
