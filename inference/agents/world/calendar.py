"""Tools on calendars: list events, find a free slot, add an event."""

from __future__ import annotations

import re
from dataclasses import replace

from .state import Event, State, clock
from .tool import Tool

_DAY_STARTS, _DAY_ENDS = 8 * 60, 18 * 60
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def list_events(state: State, person: str, date: str) -> tuple[State, str]:
    """List a person's events of one day, by time."""
    found = _events(state, person, date)
    lines = [f"{clock(event.start)} {event.title} ({event.minutes} min)" for event in found]
    return state, "; ".join(lines) or "No events"


def find_slot(state: State, person: str, date: str, minutes: int) -> tuple[State, str]:
    """Find the first free time of the given length between 08:00 and 18:00."""
    start = _DAY_STARTS
    for event in _events(state, person, date):
        if start + minutes <= event.start:
            break
        start = max(start, event.start + event.minutes)
    if start + minutes > _DAY_ENDS:
        return state, f"Error: no free {minutes} minutes on {date}"
    return state, f"Free at {clock(start)}"


def add_event(
    state: State, person: str, date: str, start: str, minutes: int, title: str
) -> tuple[State, str]:
    """Add an event; overlaps are refused, as a calendar of rooms would."""
    time = _TIME.fullmatch(start)
    if time is None:
        return state, f"Error: {start} is no time, write HH:MM"
    at = int(time[1]) * 60 + int(time[2])
    for other in _events(state, person, date):
        if at < other.start + other.minutes and other.start < at + minutes:
            return state, f"Error: {person} has {other.title} at {clock(other.start)}"
    event = Event(person, date, at, minutes, title)
    return replace(state, events=(*state.events, event)), f"Added {title} at {start}"


def _events(state: State, person: str, date: str) -> list[Event]:
    found = [event for event in state.events if (event.person, event.date) == (person, date)]
    return sorted(found, key=lambda event: event.start)


TOOLS = (
    Tool("list_events", "pure", {"person": str, "date": str}, list_events),
    Tool("find_slot", "pure", {"person": str, "date": str, "minutes": int}, find_slot),
    Tool(
        "add_event",
        "effectful",
        {"person": str, "date": str, "start": str, "minutes": int, "title": str},
        add_event,
    ),
)
