"""The state of the tool world: plain immutable data that tools read and replace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One entry of a person's calendar.

    Attributes:
        person: Whose calendar it stands in.
        date: ISO date, `2026-03-04`.
        start: Minutes after midnight.
        minutes: Length in minutes.
        title: What it is.
    """

    person: str
    date: str
    start: int
    minutes: int
    title: str


@dataclass(frozen=True)
class Offer:
    """Something that can be booked: a flight, a train, or a night in a hotel.

    Attributes:
        code: What `book` takes, unique in its state.
        kind: `flight`, `train` or `hotel`.
        origin: City of departure; empty for a hotel.
        city: City of arrival, or the hotel's.
        date: ISO date of departure; empty for a hotel, which is free on every date.
        departs: Minutes after midnight; 0 for a hotel.
        price: Whole euros.
    """

    code: str
    kind: str
    origin: str
    city: str
    date: str
    departs: int
    price: int


@dataclass(frozen=True)
class State:
    """Everything that tools can see or change.

    Attributes:
        files: Path to text.
        events: All calendars together, in no particular order.
        facts: (subject, field) to value, as text.
        offers: What can be searched and booked.
        bookings: References of what was booked, in order.
    """

    files: Mapping[str, str]
    events: tuple[Event, ...]
    facts: Mapping[tuple[str, str], str]
    offers: tuple[Offer, ...]
    bookings: tuple[str, ...] = ()


def clock(minutes: int) -> str:
    """Write minutes after midnight as `HH:MM`."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
