"""In which order waiting requests are admitted, and how fast their prompts must run, compiled.

As many requests as possible are to have their first token in time. In the order of their due times
they are counted in, and whenever one would be late, the longest prompt so far gives way: that
leaves the fewest late (Moore 1968, Management Science 15). Those that gave way, or are late
already, or have no objective, follow in the order of arrival. So that they do not wait for ever,
one admission in ``TURN`` is theirs once they have waited for ``PATIENCE``.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import Final

import numpy as np
import numpy.typing as npt

from .compiling import compiled
from .transition import Floats

Integers = npt.NDArray[np.int64]

PATIENCE: Final = 30.0
"""Seconds after which a request that no objective hurries is due all the same."""

TURN: Final = 6
"""Admissions of which one goes to whoever has waited longest, if for more than ``PATIENCE``."""

CAUTION: Final = 0.85
"""Share of the prompt tokens that lately ran in a second, which first tokens are planned with."""

WAITING: Final = ("arrived", "ttft", "prompt")
"""What is known of a request that waits: when it arrived; within how many seconds its first token
is to come (``first_within``), infinite for no objective; tokens to compute before that."""

_LEAST_SHARE: Final = 0.05  # of a step's time that prompts get, if there are any
_USUAL_SHARE: Final = 0.4  # that they can have without making the others late, by and large
_MOST_SHARE: Final = 0.9
_FIRST_SHARE: Final = 0.5  # of a deadline that the first token has, however long the rest may take
_SOON: Final = 0.02  # seconds to a due time below which it no longer tells how fast to be
_LAST: Final = 1e12  # tokens: more than any prompt


@compiled
def admission(
    waiting: Floats,
    started: float,
    started_due: float,
    speed: float,
    per_token: float,
    since: int,
    step: float,
    now: float,
    order: Integers,
) -> float:
    """Order the queue.

    Args:
        waiting: ``WAITING`` of each request, shape (n, 3).
        started: prompt tokens left of requests that are admitted already.
        started_due: when the first of them is due; infinite if there is none.
        speed: prompt tokens per second that lately ran while there were any.
        per_token: seconds per prompt token; the speed is at least what ``_USUAL_SHARE`` gives.
        since: admissions since one that had waited beyond ``PATIENCE``.
        step: seconds that a step takes; first tokens come at its end, so they are planned for one
            step before they are due.
        now: the time.
        order: written: indices, the first to be admitted first; shape (n,).

    Returns:
        Prompt tokens per second with which all that can be in time will be.
    """
    n = len(waiting)
    due, free = np.empty(n), np.empty(n, np.bool_)
    arrived, ttft, prompts = waiting[:, 0], waiting[:, 1], waiting[:, 2]
    for q in range(n):
        due[q] = first_due(arrived[q], ttft[q], now)
        free[q] = due[q] != arrived[q] + ttft[q]
    by_due, by_arrival = np.argsort(due), np.argsort(arrived)
    # Prompts that were slow because they were held back can run faster.
    each = 1.0 / (CAUTION * max(speed, _USUAL_SHARE / per_token))
    late = _late(due, by_due, free, prompts, now + each * started, each)
    first = -1
    if n > 0 and since + 1 >= TURN and is_patient(arrived[by_arrival[0]], now):
        first = by_arrival[0]
    _place(first, by_due, by_arrival, late, order)
    end = now + step
    pressure = started / max(started_due - end, _SOON)
    tokens = started
    for q in by_due:
        if not late[q]:
            tokens += prompts[q]
            if due[q] - now > _SOON:
                pressure = max(pressure, tokens / max(due[q] - end, _SOON))
    return pressure


@compiled
def _place(
    first: int,
    by_due: Integers,
    by_arrival: Integers,
    late: npt.NDArray[np.bool_],
    order: Integers,
) -> None:
    """One that is put first, those in time, the others."""
    place = 0
    if first >= 0:
        order[0] = first
        place = 1
    for in_time, by in ((True, by_due), (False, by_arrival)):
        for q in by:
            if late[q] != in_time and q != first:
                order[place] = q
                place += 1


@compiled
def _late(
    due: Floats,
    by_due: Integers,
    free: npt.NDArray[np.bool_],
    prompts: Floats,
    start: float,
    per_token: float,
) -> npt.NDArray[np.bool_]:
    """Which requests are left to be late, so that the fewest are; those without objective first."""
    late = np.zeros(len(due), np.bool_)
    end = start
    longest = [(0.0, np.int64(0)) for _ in range(0)]  # a heap: the longest of those in time first
    for q in by_due:
        end += per_token * prompts[q]
        heappush(longest, (-prompts[q] - (_LAST if free[q] else 0.0), q))
        while end > due[q] and not late[q]:
            _, other = heappop(longest)
            late[other] = True
            end -= per_token * prompts[other]
    return late


@compiled
def first_within(ttft: float, deadline: float, decoding: float) -> float:
    """Seconds from its arrival in which a request's first token is to come.

    A deadline leaves what decoding is not expected to take. How long one request will be is hardly
    known, though, and who asks for little time is likely to be short: so at least half of it.

    Args:
        ttft: its objective for the first token, seconds, infinite for none.
        deadline: the same for the last one.
        decoding: seconds that its other tokens are expected to take.
    """
    return min(ttft, max(deadline - decoding, _FIRST_SHARE * deadline))


@compiled
def first_due(arrived: float, ttft: float, now: float) -> float:
    """When a request's first token is due: by its objective, or else by patience.

    Args:
        arrived: when it came.
        ttft: as ``first_within`` has it.
        now: the time.
    """
    due = arrived + ttft
    return arrived + PATIENCE if due == math.inf or due <= now else due


@compiled
def is_patient(arrived: float, now: float) -> bool:
    """Whether a request has waited for long."""
    return now - arrived > PATIENCE


@compiled
def prompt_tokens(
    limit: float, seconds: float, per_token: float, pressure: float, most: int
) -> int:
    """Most prompt tokens of a step.

    As many as leave decoding requests within their objectives, but as many as first tokens need;
    and no fewer than run in ``_LEAST_SHARE`` of the step: prompts in small pieces would hold back
    more than they spare, as fewer requests would share each step. At least one, where a token costs
    more than that share: nobody waits for ever.

    Args:
        limit: seconds that the step may take; infinite where nobody minds.
        seconds: that it takes without prompts.
        per_token: seconds per prompt token.
        pressure: prompt tokens per second that are needed.
        most: the engine's own bound.
    """
    if limit == math.inf:
        return most
    share = min(max(pressure * per_token, _LEAST_SHARE), _MOST_SHARE)
    tokens = max((limit - seconds) / per_token, share / (1.0 - share) * seconds / per_token)
    return max(int(min(tokens, most)), min(most, 1))
