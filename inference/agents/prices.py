"""Prices of well-known models, and those that users give.

The table is ``prices.toml``, with the date on which it was compiled.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import msgspec

from .costs import ModelPrice
from .function import FunctionAgent
from .protocol import Agent

_NUMBER: Final = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
_FORM: Final = (
    "a price is written MODEL=PROMPT/CACHED/COMPLETION, in dollars per million tokens, such as "
    "my-model=0.40/0.10/1.60"
)
_CALL: Final = "ModelPrice(prompt, cached, completion)"


class PriceError(ValueError):
    """A price that is not there or is none, with what would be right."""


class _Table(msgspec.Struct):
    compiled: date
    source: str
    models: dict[str, tuple[float, float, float]]
    aliases: dict[str, str]


@cache
def known_prices() -> Mapping[str, ModelPrice]:
    """The table: price by model, all names of each."""
    table = _table()
    prices = {model: ModelPrice(*each) for model, each in table.models.items()}
    return MappingProxyType(
        prices | {alias: prices[model] for alias, model in table.aliases.items()}
    )


def compiled() -> date:
    """The date on which the table was compiled."""
    return _table().compiled


def parse_price(text: str) -> tuple[str, ModelPrice]:
    """Read ``MODEL=PROMPT/CACHED/COMPLETION``; the model's name may have any characters.

    Raises:
        PriceError: if it is anything else.
    """
    model, equals, numbers = text.rpartition("=")
    parts = [part.strip() for part in numbers.split("/")]
    wrong = not equals or not model.strip() or len(parts) != 3
    if wrong or not all(_NUMBER.fullmatch(part) for part in parts):
        raise PriceError(f"{_FORM}; got {text!r:.200}")
    try:
        return model.strip(), ModelPrice(*map(float, parts))
    except ValueError as error:  # hundreds of digits are no finite number
        raise PriceError(f"{text!r:.200}: {error}") from error


def parse_prices(texts: Iterable[str]) -> dict[str, ModelPrice]:
    """Read several prices.

    Raises:
        PriceError: if one is none, or a model has two different ones.
    """
    prices: dict[str, ModelPrice] = {}
    for text in texts:
        model, price = parse_price(text)
        if prices.setdefault(model, price) != price:
            raise PriceError(f"two prices are given for {model}")
    return prices


def price_of(model: str, given: Mapping[str, ModelPrice] | None = None) -> ModelPrice:
    """The price of a model: as it was given, or as the table has it.

    Raises:
        PriceError: if neither has it, naming those that are known, the closest first.
        TypeError: if what was given is no ``ModelPrice``.
    """
    given = given or {}
    if model in given:
        return _checked(model, given[model])
    price = known_prices().get(model)
    if price is None:
        raise PriceError(
            f"no price of model {model!r}; known are {', '.join(_closest(model, given))} "
            f"(prices of {compiled()}). Give one: prices={{{model!r}: {_CALL}}}; on a "
            f"command line {_FORM}"
        )
    return price


def price_for(agent: Agent, given: Mapping[str, ModelPrice] | None = None) -> ModelPrice:
    """The price of an agent's model: as it was given, as the agent has it, or as the table does.

    Raises:
        PriceError: see ``price_of``.
        TypeError: see ``price_of``; or the agent's own is no ``ModelPrice``.
    """
    own = agent.price if isinstance(agent, FunctionAgent) else None
    if own is None or agent.model in (given or {}):
        return price_of(agent.model, given)
    return _checked(agent.model, own)


def _checked(model: str, price: Any) -> ModelPrice:
    if not isinstance(price, ModelPrice):
        raise TypeError(
            f"the price of {model!r} must be a {_CALL}, got {price!r:.80} ({type(price).__name__})"
        )
    return price


def _closest(model: str, given: Mapping[str, ModelPrice]) -> list[str]:
    """Names of the table and those given, the most alike first."""
    names = {*_table().models, *given}

    def unlike(name: str) -> tuple[float, str]:
        return -difflib.SequenceMatcher(None, model.lower(), name.lower()).ratio(), name

    return sorted(names, key=unlike)


@cache
def _table() -> _Table:
    text = files(__package__).joinpath("prices.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=_Table)
