"""Recipes of difficulty 3 to 5: up to seven calls, where later ones need earlier observations."""

from __future__ import annotations

from collections.abc import Generator

from .recipes_short import Made, converted, other_unit
from .scenery import MEASURES, Scenery
from .script import Move, Moves, cheapest, finish, measure, move, reference, slot
from .units import UNITS

# A part of a script: moves whose last observation gives a text that later moves need.
Part = Generator[Move, str, str]


def _look_up(subject: str, field: str) -> Part:
    return (
        yield move(f"I look up the {field} of {subject}.", "lookup", subject=subject, field=field)
    )


def _book_trip(kind: str, origin: str, city: str, date: str) -> Part:
    """Search and book the cheapest; returns the reference."""
    thought = f"I search the {kind}s from {origin} to {city} on {date}."
    seen = yield move(thought, f"search_{kind}s", from_=origin, to=city, date=date)
    code, price = cheapest(seen)
    return reference((yield move(f"The cheapest is {code} at {price} EUR.", "book", offer=code)))


def _book_hotel(city: str) -> Part:
    seen = yield move(f"I search the hotels in {city}.", "search_hotels", city=city)
    code, price = cheapest(seen)
    return reference((yield move(f"The cheapest is {code} at {price} EUR.", "book", offer=code)))


def _save(path: str, text: str) -> Part:
    return (yield move(f"I write {text} to {path}.", "write_file", path=path, text=text))


def _add(person: str, date: str, minutes: int, title: str) -> Part:
    """Add an event to the first free time; returns the time."""
    thought = f"I look for {minutes} free minutes of {person} on {date}."
    seen = yield move(thought, "find_slot", person=person, date=date, minutes=minutes)
    start = slot(seen)
    yield move(
        f"The first free time is {start}. I add the {title}.",
        "add_event",
        person=person,
        date=date,
        start=start,
        minutes=minutes,
        title=title,
    )
    return start


def book_and_save(scenery: Scenery) -> Made:
    """Book the cheapest trip and write down the reference."""
    rng = scenery.rng
    kind, date, path = rng.choice(("flight", "train")), scenery.date(), scenery.path()
    origin, city = scenery.city(), scenery.city()
    scenery.trips(kind, origin, city, date)
    goal = rng.choice(
        (
            "Book the cheapest {} from {} to {} on {} and write the reference to {}.",
            "I need the cheapest {} from {} to {} on {}. Book it and save the reference in {}.",
        )
    )

    def script() -> Moves:
        ref = yield from _book_trip(kind, origin, city, date)
        yield from _save(path, ref)
        yield finish(ref)

    return goal.format(kind, origin, city, date, path), script


def found_in_unit(scenery: Scenery) -> Made:
    """Find the file about a word, read it, and convert the value in it."""
    rng = scenery.rng
    topic, unit = scenery.topic(), rng.choice(list(UNITS))
    to = other_unit(scenery, unit)
    scenery.file(f"The {topic} takes {rng.randint(8, 2000) / 4:g} {unit}.")
    for _ in range(2):
        scenery.file(scenery.note_without(topic))
    goal = rng.choice(("How much does the {} take, in {}?", "Find how much the {} takes, in {}."))

    def script() -> Moves:
        path = yield move(f"I search the files for {topic}.", "search_files", text=topic)
        seen = yield move(f"The file is {path}. I read it.", "read_file", path=path)
        thought, tool, arguments = converted(*measure(seen), to)
        yield finish((yield move(thought, tool, **arguments)))

    return goal.format(topic, to), script


def larger_city(scenery: Scenery) -> Made:
    """Compare two cities, write down the larger."""
    first, second, path = scenery.city(), scenery.city(), scenery.path()
    goal = scenery.rng.choice(
        (
            "Which city has more people, {} or {}? Write it to {}.",
            "Compare the population of {} and {}, and save the larger city in {}.",
        )
    )

    def script() -> Moves:
        one = yield from _look_up(first, "population")
        two = yield from _look_up(second, "population")
        larger = first if int(one) > int(two) else second
        yield from _save(path, larger)
        yield finish(larger)

    return goal.format(first, second, path), script


def hotel_at_home(scenery: Scenery) -> Made:
    """Book the cheapest hotel where a person lives."""
    person = scenery.person()
    scenery.hotels(scenery.facts[person, "home"])
    goal = scenery.rng.choice(
        ("Book the cheapest hotel where {} lives.", "I visit {}. Book the cheapest hotel there.")
    )

    def script() -> Moves:
        home = yield from _look_up(person, "home")
        yield finish((yield from _book_hotel(home)))

    return goal.format(person), script


def visit(scenery: Scenery) -> Made:
    """Travel to where a person lives and put the visit into their calendar."""
    rng = scenery.rng
    kind, date, origin = rng.choice(("flight", "train")), scenery.date(), scenery.city()
    person, minutes, title = scenery.person(), rng.choice((30, 45, 60)), scenery.title()
    scenery.day(person, date)
    scenery.trips(kind, origin, scenery.facts[person, "home"], date)
    goal = rng.choice(
        (
            "Book the cheapest {0} from {1} to where {2} lives on {3}, and add a {4} of {5} "
            "minutes to the first free time of {2} that day.",
            "I travel from {1} to the home of {2} on {3}. Book the cheapest {0}, then add a {4} of "
            "{5} minutes to the first free time of {2}.",
        )
    )

    def script() -> Moves:
        home = yield from _look_up(person, "home")
        ref = yield from _book_trip(kind, origin, home, date)
        yield from _add(person, date, minutes, title)
        yield finish(ref)

    return goal.format(kind, origin, person, date, title, minutes), script


def dearer(scenery: Scenery) -> Made:
    """Compare two products' prices, convert a measure of the dearer one and write it down."""
    first, second, path = scenery.product(), scenery.product(), scenery.path()
    while second == first:
        second = scenery.product()
    field = scenery.rng.choice(list(MEASURES))
    to = MEASURES[field][0]
    for name in (first, second):
        value, unit = scenery.facts[name, field].split()
        if unit == to:
            scenery.facts[name, field] = f"{value} {MEASURES[field][1]}"
    goal = scenery.rng.choice(
        (
            "Write the {2} in {3} of what costs more, {0} or {1}, to {4}.",
            "Which costs more, {0} or {1}? Save its {2} in {3} in {4}.",
        )
    )

    def script() -> Moves:
        one = yield from _look_up(first, "price")
        two = yield from _look_up(second, "price")
        choice = first if measure(one)[0] > measure(two)[0] else second
        value, unit = measure((yield from _look_up(choice, field)))
        thought, tool, arguments = converted(value, unit, to)
        seen = yield move(thought, tool, **arguments)
        yield from _save(path, seen)
        yield finish(seen)

    return goal.format(first, second, field, to, path), script


def itinerary(scenery: Scenery) -> Made:
    """Travel to where a person lives, sleep there, write both references down."""
    rng = scenery.rng
    kind, date, origin = rng.choice(("flight", "train")), scenery.date(), scenery.city()
    person, path = scenery.person(), scenery.path()
    home = scenery.facts[person, "home"]
    scenery.trips(kind, origin, home, date)
    scenery.hotels(home)
    goal = rng.choice(
        (
            "Plan a visit to {2} on {3}: book the cheapest {0} from {1} and the cheapest hotel, "
            "and write both references to {4}.",
            "I visit {2} on {3}, coming from {1} by {0}. Book the cheapest trip and hotel and save "
            "the references in {4}.",
        )
    )

    def script() -> Moves:
        home = yield from _look_up(person, "home")
        trip = yield from _book_trip(kind, origin, home, date)
        hotel = yield from _book_hotel(home)
        both = f"{trip} {hotel}"
        yield from _save(path, both)
        yield finish(both)

    return goal.format(kind, origin, person, date, path), script


def invitation(scenery: Scenery) -> Made:
    """A file tells whom to visit; look up, travel, and put it into the calendar."""
    rng = scenery.rng
    kind, date, origin = rng.choice(("flight", "train")), scenery.date(), scenery.city()
    person, topic = scenery.person(), scenery.topic()
    title, minutes = scenery.title(), rng.choice((30, 45, 60))
    scenery.day(person, date)
    scenery.trips(kind, origin, scenery.facts[person, "home"], date)
    scenery.file(f"For {topic} ask {person}")
    scenery.file(scenery.note_without(topic))
    goal = rng.choice(
        (
            "A file says whom to ask for {0}. Book the cheapest {1} from {2} to where they live on "
            "{3}, and add a {4} of {5} minutes to their first free time.",
            "Find in the files whom to ask for {0}. On {3}, travel from {2} to their home by the "
            "cheapest {1} and add a {4} of {5} minutes to their first free time.",
        )
    )

    def script() -> Moves:
        path = yield move(f"I search the files for {topic}.", "search_files", text=topic)
        seen = yield move(f"The file is {path}. I read it.", "read_file", path=path)
        who = seen.split(" ask ")[1]
        home = yield from _look_up(who, "home")
        ref = yield from _book_trip(kind, origin, home, date)
        yield from _add(who, date, minutes, title)
        yield finish(ref)

    return goal.format(topic, kind, origin, date, title, minutes), script


THREE_CALLS = (book_and_save, found_in_unit, larger_city, hotel_at_home)
DEPENDENT = (visit, dearer)
LONG = (itinerary, invitation)
