"""Prices: the table, and those that users give."""

from __future__ import annotations

from typing import Any

import pytest
from flyball.inference.agents.costs import ModelPrice
from flyball.inference.agents.function import FunctionAgent
from flyball.inference.agents.prices import (
    PriceError,
    compiled,
    known_prices,
    parse_price,
    parse_prices,
    price_for,
    price_of,
)
from flyball.inference.agents.protocol import Usage
from hypothesis import given
from hypothesis import strategies as st


def test_a_call_costs_what_the_list_says() -> None:
    usage = Usage(prompt=1_000_000, cached=500_000, completion=100_000)
    assert price_of("gpt-4.1-mini").dollars(usage) == pytest.approx(0.20 + 0.05 + 0.16)


def test_every_price_makes_sense() -> None:
    assert len(known_prices()) > 20
    for model, price in known_prices().items():
        assert 0 < price.cached <= price.prompt < price.completion, model
    assert compiled().year >= 2026


def test_other_names_of_a_model_have_its_price() -> None:
    assert price_of("gpt-4.1-2025-04-14") == price_of("gpt-4.1")


def test_a_price_that_is_given_goes_before_the_tables() -> None:
    given = parse_prices(["gpt-4.1=1/.5/2", "my/model:8b=0/0/0.5"])
    assert price_of("gpt-4.1", given) == ModelPrice(1.0, 0.5, 2.0)
    assert price_of("my/model:8b", given) == ModelPrice(0.0, 0.0, 0.5)


def test_a_model_without_a_price_is_refused_with_the_closest_names_first() -> None:
    with pytest.raises(PriceError) as refusal:
        price_of("gpt-4.1-mni", {"gpt-4.1-mine": ModelPrice(1, 1, 1)})
    said = str(refusal.value)
    assert "no price of model 'gpt-4.1-mni'" in said
    assert "known are gpt-4.1-mini, gpt-4.1-mine, " in said
    assert "MODEL=PROMPT/CACHED/COMPLETION" in said
    assert "prices={'gpt-4.1-mni': ModelPrice(prompt, cached, completion)}" in said


@pytest.mark.parametrize("wrong", ["1/1/1", (1, 1, 1), None, 1.0])
def test_a_price_of_another_type_is_refused_by_its_model_s_name(wrong: Any) -> None:
    reason = r"the price of 'mine' must be a ModelPrice\(prompt, cached, completion\), got "
    with pytest.raises(TypeError, match=reason):
        price_of("mine", {"mine": wrong})


def test_an_agent_s_own_price_of_another_type_is_refused() -> None:
    def mine(task: str, steps: Any) -> None: ...

    agent = FunctionAgent(mine, price="1/1/1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the price of 'mine' must be a ModelPrice"):
        price_for(agent)
    assert price_for(agent, {"mine": ModelPrice(1, 2, 3)}) == ModelPrice(1, 2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model",
        "=1/2/3",
        "model=1/2",
        "model=1/2/3/4",
        "model=a/b/c",
        "model=-1/2/3",
        "model=nan/1/1",
        "model=inf/1/1",
        "model=1e3/1/1",
        "model=1/2/" + "9" * 400,
        "model=\u0661/1/1",
    ],
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(PriceError):
        parse_price(text)


def test_two_prices_of_a_model_are_refused() -> None:
    assert parse_prices(["m=1/1/1", "m=1.0/1/1"]) == {"m": ModelPrice(1, 1, 1)}
    with pytest.raises(PriceError, match="two prices are given for m"):
        parse_prices(["m=1/1/1", "m=1/1/2"])


amounts = st.integers(0, 10**8).map(lambda n: f"{n / 1e4:.4f}")


@given(st.text(min_size=1).filter(str.strip), amounts, amounts, amounts)
def test_prices_are_read_as_they_are_written(model: str, a: str, b: str, c: str) -> None:
    read = parse_price(f"{model}={a}/{b}/{c}")
    assert read == (model.strip(), ModelPrice(float(a), float(b), float(c)))
