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
    """Seconds per emitted token per request, over what no speculation would have taken.

    What prompts took of the interval is replaced by what they take in the long run, which no depth
    changes. Shape (n,); off = 1.0, lower is better; NaN where nothing was emitted.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = seconds_per_token(outcomes) / (outcomes.off_seconds + outcomes.standing)
    return np.where(outcomes.emitted > 0, ratio, np.nan)


def cost(outcomes: OutcomeBatch, prices: Prices) -> Floats:
    """Dollars per emitted token, over what no speculation would have cost.

    Prompts count as in ``latency``. Shape (n,); off = 1.0, lower is better; NaN where nothing was
    emitted.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        busy = prices.second * outcomes.steps / outcomes.request_steps
        off = prices.verified + busy * (outcomes.off_seconds + outcomes.standing)
        positions = prices.verified * outcomes.verified + prices.drafted * outcomes.drafted
        spent = positions / outcomes.emitted + busy * seconds_per_token(outcomes)
    return np.where(outcomes.emitted > 0, spent / off, np.nan)


def seconds_per_token(outcomes: OutcomeBatch) -> Floats:
    """Of each request, prompts as in the long run: shape (n,)."""
    own = np.maximum(outcomes.seconds - outcomes.steps * outcomes.prompt_seconds, 0.0)
    # A model's error about long prompts must not make an interval take next to no time.
    share = np.maximum(own / outcomes.seconds, _LEAST)
    seconds: Floats = outcomes.request_seconds * share / outcomes.emitted + outcomes.standing
    return seconds


_LEAST: Final = 0.1  # share of an interval that decoding took, at least
