"""Cost models as price lists, and the two components every decision is judged by.

A price list is linear in what an interval used, so that an engine can predict dollars for every
depth with NumPy alone and a list can travel on the wire.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from .transition import Floats, OutcomeBatch


class Prices(msgspec.Struct, frozen=True):
    """Dollars for each thing that serving uses.

    Attributes:
        verified: per position run by the target for decoding.
        drafted: per position run by the drafter.
        prefill: per prompt token run by the target.
        second: per second in which the engine is busy.
    """

    verified: float = 0.0
    drafted: float = 0.0
    prefill: float = 0.0
    second: float = 0.0

    def __post_init__(self) -> None:
        values = (self.verified, self.drafted, self.prefill, self.second)
        if not all(np.isfinite(v) and v >= 0 for v in values):
            raise ValueError(f"prices must be finite and not negative, got {values}")
        if self.verified == 0 and self.second == 0:
            raise ValueError("a price list must charge verified positions or seconds")


DOLLARS_PER_MILLION_POSITIONS: Final = 0.20
DOLLARS_PER_ENGINE_HOUR: Final = 0.10


def compute_prices(
    parameter_ratio: float, per_million: float = DOLLARS_PER_MILLION_POSITIONS
) -> Prices:
    """The default cost model: positions, the drafter's priced by its share of the parameters.

    Args:
        parameter_ratio: parameters of the drafter over parameters of the target.
        per_million: dollars per million positions run by the target.
    """
    price = per_million / 1e6
    return Prices(verified=price, drafted=price * parameter_ratio, prefill=price)


def engine_time_prices(per_hour: float = DOLLARS_PER_ENGINE_HOUR) -> Prices:
    """The cost model for a machine rented by the hour: busy seconds."""
    return Prices(second=per_hour / 3600.0)


def price_list(name: str, parameter_ratio: float) -> Prices:
    """A built-in cost model by name: ``compute`` or ``engine_time``.

    Raises:
        ValueError: listing the names that exist.
    """
    if name == "compute":
        return compute_prices(parameter_ratio)
    if name == "engine_time":
        return engine_time_prices()
    raise ValueError(f"no cost model {name!r}; there are compute, engine_time")


def dollars(outcomes: OutcomeBatch, prices: Prices) -> Floats:
    """Dollars that each interval cost, prompts left out: shape (n,)."""
    return (
        prices.verified * outcomes.verified
        + prices.drafted * outcomes.drafted
        + prices.second * outcomes.seconds
    )


def latency(outcomes: OutcomeBatch) -> Floats:
    """Decode seconds per emitted token per request, over what no speculation would have taken.

    What prompts took of the interval is left out: no depth changes it. Shape (n,); off = 1.0, lower
    is better; NaN where nothing was emitted.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = outcomes.request_seconds * decoding(outcomes)
        ratio = seconds / outcomes.emitted / outcomes.off_seconds
    return np.where(outcomes.emitted > 0, ratio, np.nan)


def cost(outcomes: OutcomeBatch, prices: Prices) -> Floats:
    """Dollars per emitted token, over what no speculation would have cost.

    Prompts are left out as in ``latency``. Shape (n,); off = 1.0, lower is better; NaN where
    nothing was emitted.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        off = (
            prices.verified
            + prices.second * outcomes.off_seconds * outcomes.steps / outcomes.request_steps
        )
        prompts = prices.second * outcomes.seconds * (1.0 - decoding(outcomes))
        ratio = (dollars(outcomes, prices) - prompts) / outcomes.emitted / off
    return np.where(outcomes.emitted > 0, ratio, np.nan)


def decoding(outcomes: OutcomeBatch) -> Floats:
    """Share of an interval's time that its prompts did not take, by the model: shape (n,).

    Never next to nothing: a model is wrong about long prompts by as much as decoding takes.
    """
    own = outcomes.seconds - outcomes.steps * outcomes.prompt_seconds
    share: Floats = np.maximum(own / outcomes.seconds, _LEAST)
    return share


_LEAST: Final = 0.1
