"""Random states: what surrounds a task, so that the right thing must be found among others."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from .names import (
    CITIES,
    FOLDERS,
    MAKERS,
    PEOPLE,
    STEMS,
    SURNAMES,
    THINGS,
    TITLES,
    TOPICS,
)
from .state import Event, Offer, State

# What a product's facts are measured in.
MEASURES = {"weight": ("kg", "lb", "oz"), "height": ("m", "ft"), "volume": ("l", "gal", "pt")}


@dataclass
class Scenery:
    """A state in the making; recipes add what their task needs, then `state()` freezes it."""

    rng: random.Random
    files: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    facts: dict[tuple[str, str], str] = field(default_factory=dict)
    offers: list[Offer] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw names that never collide within this state."""
        self._people = iter(self.rng.sample(PEOPLE, len(PEOPLE)))
        self._cities = iter(self.rng.sample(CITIES, len(CITIES)))
        self._topics = iter(self.rng.sample(TOPICS, len(TOPICS)))
        self._stems = iter(self.rng.sample(STEMS, len(STEMS)))

    def state(self) -> State:
        """Freeze."""
        return State(dict(self.files), tuple(self.events), dict(self.facts), tuple(self.offers))

    def topic(self) -> str:
        """A word that appears in at most one file."""
        return next(self._topics)

    def path(self, folder: str = "") -> str:
        """A path that no file has yet."""
        return f"{folder or self.rng.choice(FOLDERS)}/{next(self._stems)}.txt"

    def date(self) -> str:
        """An ISO date."""
        rng = self.rng
        return f"202{rng.randint(5, 9)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"

    def title(self) -> str:
        """The title of a new event: never that of one that stands in a calendar already."""
        return f"{self.topic()} {self.rng.choice(TITLES)}"

    def person(self, *, home: str = "") -> str:
        """A person with a home, a phone number and an e-mail address."""
        first, last = next(self._people), self.rng.choice(SURNAMES)
        name = f"{first} {last}"
        self.facts[name, "home"] = home or self.city()
        self.facts[name, "phone"] = f"{self.rng.randint(200, 999)}-{self.rng.randint(1000, 9999)}"
        self.facts[name, "email"] = f"{first}.{last}@{self.rng.choice(MAKERS)}.org".lower()
        return name

    def city(self) -> str:
        """A city with facts."""
        name = next(self._cities)
        self.facts[name, "population"] = str(self.rng.randint(20, 9000) * 1000)
        self.facts[name, "elevation"] = f"{self.rng.randint(1, 2500)} m"
        self.facts[name, "mayor"] = f"{next(self._people)} {self.rng.choice(SURNAMES)}"
        return name

    def product(self) -> str:
        """A product with a price and measures."""
        rng = self.rng
        name = f"{rng.choice(MAKERS)} {rng.choice(THINGS)}"
        self.facts[name, "price"] = f"{rng.randint(5, 900)} EUR"
        for measure, units in MEASURES.items():
            self.facts[name, measure] = f"{rng.randint(2, 400) / 4:g} {rng.choice(units)}"
        return name

    def file(self, text: str, *, folder: str = "") -> str:
        """Add a file and return its path."""
        path = self.path(folder)
        self.files[path] = text
        return path

    def note_without(self, word: str) -> str:
        """A note that a search for a word does not find, not even inside another: tin in satin."""
        while word in (note := self.note()):
            continue
        return note

    def note(self) -> str:
        """A short text about nothing in particular."""
        rng = self.rng
        choice = rng.randrange(4)
        if choice == 0:
            return f"Buy {rng.randint(2, 60)} boxes of {self.topic()}."
        if choice == 1:
            return f"Call {next(self._people)} about the {self.topic()}."
        if choice == 2:
            return f"The {rng.choice(THINGS)} in {next(self._cities)} needs {self.topic()}."
        return f"Send the {self.topic()} to {next(self._cities)} by {self.date()}."

    def day(self, person: str, date: str) -> None:
        """Give a person one to three events on a day, never overlapping."""
        at = 480
        for _ in range(self.rng.randint(1, 3)):
            at += self.rng.choice((0, 0, 15, 30, 60, 90))
            minutes = self.rng.choice((30, 45, 60, 90))
            self.events.append(Event(person, date, at, minutes, self.title()))
            at += minutes

    def trips(self, kind: str, origin: str, city: str, date: str) -> list[Offer]:
        """Offer two or three trips at different prices; returns them by price."""
        rng = self.rng
        count = rng.randint(2, 3)
        letter = "F" if kind == "flight" else "T"
        prices = rng.sample(range(20, 500), count)
        codes = rng.sample(range(100, 1000), count)
        found = [
            Offer(f"{letter}{code}", kind, origin, city, date, rng.randrange(300, 1380, 5), price)
            for code, price in zip(codes, prices, strict=True)
        ]
        self.offers += found
        return sorted(found, key=lambda offer: offer.price)

    def hotels(self, city: str) -> list[Offer]:
        """Offer two or three hotels at different prices; returns them by price."""
        rng = self.rng
        count = rng.randint(2, 3)
        prices = rng.sample(range(40, 400), count)
        codes = rng.sample(range(100, 1000), count)
        found = [
            Offer(f"H{code}", "hotel", "", city, "", 0, price)
            for code, price in zip(codes, prices, strict=True)
        ]
        self.offers += found
        return sorted(found, key=lambda offer: offer.price)
