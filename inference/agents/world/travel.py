"""Tools for itineraries: search flights, trains and hotels, book."""

from __future__ import annotations

import zlib
from dataclasses import replace

from .state import Offer, State, clock
from .tool import Tool


def search_flights(state: State, from_: str, to: str, date: str) -> tuple[State, str]:
    """List the flights between two cities on a day, by departure."""
    return _trips(state, "flight", from_, to, date)


def search_trains(state: State, from_: str, to: str, date: str) -> tuple[State, str]:
    """List the trains between two cities on a day, by departure."""
    return _trips(state, "train", from_, to, date)


def search_hotels(state: State, city: str) -> tuple[State, str]:
    """List a city's hotels, by code."""
    found = [offer for offer in state.offers if (offer.kind, offer.city) == ("hotel", city)]
    lines = [f"{o.code} {o.price} EUR" for o in sorted(found, key=lambda o: o.code)]
    return state, "; ".join(lines) or f"Error: no hotel in {city}"


def book(state: State, offer: str) -> tuple[State, str]:
    """Book an offer by its code; the reference depends on the code alone."""
    if all(known.code != offer for known in state.offers):
        return state, f"Error: no offer {offer}"
    reference = f"R{zlib.crc32(offer.encode()) % 100000:05d}"
    if reference in state.bookings:
        return state, f"Error: {offer} is booked already"
    return replace(state, bookings=(*state.bookings, reference)), f"Booked {offer}: {reference}"


def _trips(state: State, kind: str, origin: str, city: str, date: str) -> tuple[State, str]:
    wanted = (kind, origin, city, date)
    found: list[Offer] = [o for o in state.offers if (o.kind, o.origin, o.city, o.date) == wanted]
    found.sort(key=lambda o: o.departs)
    lines = [f"{o.code} {clock(o.departs)} {o.price} EUR" for o in found]
    return state, "; ".join(lines) or f"Error: no {kind} from {origin} to {city} on {date}"


_JOURNEY = {"from": str, "to": str, "date": str}

TOOLS = (
    Tool("search_flights", "pure", _JOURNEY, search_flights),
    Tool("search_trains", "pure", _JOURNEY, search_trains),
    Tool("search_hotels", "pure", {"city": str}, search_hotels),
    Tool("book", "effectful", {"offer": str}, book),
)
