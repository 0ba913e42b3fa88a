"""Limits per minute, and streams however they are cut."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from flyball.inference.agents.events import DONE, EventReader, StreamError
from flyball.inference.agents.rates import Bucket, RateLimit
from flyball.inference.agents.replay.clock import run_virtual
from flyball.inference.agents.retrying import seconds_asked
from hypothesis import given
from hypothesis import strategies as st


@given(
    per_minute=st.floats(1.0, 1000.0),
    takes=st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(0.1, 50.0)), min_size=1, max_size=60),
)
def test_no_minute_brings_more_than_its_allowance(
    per_minute: float, takes: list[tuple[float, float]]
) -> None:
    bucket, now = Bucket(per_minute), 0.0
    used: list[tuple[float, float]] = []
    for pause, amount in takes:
        now += pause
        used.append((now + bucket.take(amount, now), amount))
    assert used == sorted(used, key=lambda each: each[0]), "in the order in which they came"
    most = per_minute + max(1.0, 0.1 * per_minute)
    for begin, _ in used:
        total = sum(amount for at, amount in used if begin <= at < begin + 60.0)
        largest = max(amount for at, amount in used if begin <= at < begin + 60.0)
        assert total <= most + largest + 1e-6


def test_what_is_used_evenly_below_the_limit_never_waits() -> None:
    bucket = Bucket(60.0)
    assert [bucket.take(1, float(second)) for second in range(300)] == [0.0] * 300


def test_the_first_are_served_at_once_and_then_one_after_another() -> None:
    bucket = Bucket(60.0)
    assert [bucket.take(1, 0.0) for _ in range(9)] == pytest.approx([0] * 6 + [1, 2, 3])


def test_what_is_given_back_can_be_used_and_no_more_than_that() -> None:
    bucket = Bucket(60.0)
    for _ in range(8):
        bucket.take(1, 0.0)
    bucket.take(-2, 0.0)
    assert bucket.take(1, 0.0) == pytest.approx(1.0)
    bucket.take(-1000, 0.0)
    assert [bucket.take(1, 0.0) for _ in range(7)] == pytest.approx([0] * 6 + [1])


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_a_limit_of_nothing_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        RateLimit(requests=wrong)


def test_one_that_is_cancelled_while_it_waits_takes_nothing() -> None:
    async def run() -> None:
        limit = RateLimit(requests=6000.0, tokens=600.0)
        await limit.wait(60)
        waiting = asyncio.create_task(limit.wait(1e9))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(limit.wait(1), 10)

    asyncio.run(run())


def test_those_who_wait_are_helped_by_what_others_give_back() -> None:
    async def run() -> float:
        limit = RateLimit(requests=60.0, tokens=6000.0)
        for _ in range(6):
            await limit.wait(10)
        speculative = [asyncio.create_task(limit.wait(10)) for _ in range(20)]
        await asyncio.sleep(0)
        certain = asyncio.create_task(limit.wait(10))
        await asyncio.sleep(0)
        for task in speculative:
            task.cancel()
        await certain
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(1.0)


def test_a_call_that_took_less_than_was_foreseen_lets_the_next_go() -> None:
    async def run() -> float:
        limit = RateLimit(tokens=600.0)
        await limit.wait(60)
        waiting = asyncio.create_task(limit.wait(100))
        await asyncio.sleep(1)
        limit.settle(-60)
        await waiting
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(4.0)


@given(
    requests=st.sampled_from([None, 30.0, 60.0]),
    tokens=st.sampled_from([None, 100.0, 600.0]),
    calls=st.lists(
        st.tuples(st.floats(0, 5), st.floats(0, 100), st.none() | st.floats(0, 20)), max_size=12
    ),
)
def test_requests_are_sent_in_the_order_in_which_they_came(
    requests: float | None,
    tokens: float | None,
    calls: list[tuple[float, float, float | None]],
) -> None:
    sent: list[tuple[int, float, float]] = []

    async def call(limit: RateLimit, number: int, amount: float) -> None:
        await limit.wait(amount)
        sent.append((number, asyncio.get_running_loop().time(), amount))

    async def run() -> None:
        limit, loop, tasks = RateLimit(requests, tokens), asyncio.get_running_loop(), []
        for number, (pause, amount, patience) in enumerate(calls):
            await asyncio.sleep(pause)
            tasks.append(asyncio.create_task(call(limit, number, amount)))
            if patience is not None:
                loop.call_later(patience, tasks[-1].cancel)
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtual(run())
    numbers = [number for number, _, _ in sent]
    assert numbers == sorted(numbers)
    assert {n for n, (_, _, patience) in enumerate(calls) if patience is None} <= set(numbers)
    for begin, end in itertools.combinations(range(len(sent)), 2):
        between = sent[begin : end + 1]
        minutes = (between[-1][1] - between[0][1]) / 60.0
        if requests is not None:
            assert len(between) <= 1 + requests * (minutes + 0.1) + 1e-3
        if tokens is not None:
            most = between[0][2] + tokens * (minutes + 0.1)
            assert sum(each[2] for each in between) <= most + 1e-3


def test_what_a_call_came_to_counts_and_not_what_was_foreseen() -> None:
    async def run() -> None:
        limit = RateLimit(tokens=600.0)
        await limit.wait(60)
        limit.settle(-59)
        await asyncio.wait_for(limit.wait(59), 10)

    asyncio.run(run())


def test_without_limits_nothing_waits() -> None:
    async def run() -> None:
        limit = RateLimit()
        for _ in range(1000):
            await limit.wait(1e9)

    asyncio.run(run())


@given(
    events=st.lists(st.binary(min_size=1).filter(lambda b: not set(b) & set(b"\r\n"))),
    cuts=st.lists(st.integers(1, 7), min_size=1),
    ending=st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n", b"\n: comment\nevent: x\n\n"]),
)
def test_a_stream_is_read_the_same_however_it_is_cut(
    events: list[bytes], cuts: list[int], ending: bytes
) -> None:
    wanted = [event.strip() for event in events if event.strip() not in {b"", DONE}]
    stream = b"".join(b"data: " + event + ending for event in wanted) + b"data:[DONE]\n\nrest: no"
    reader, found, at, turn = EventReader(1 << 20), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert found == wanted
    assert reader.done


@given(st.binary(max_size=200))
def test_any_bytes_are_a_stream_or_are_refused(data: bytes) -> None:
    reader = EventReader(100)
    try:
        events = reader.feed(data)
    except StreamError:
        return
    assert len(data) <= 100
    assert all(event in data for event in events)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("soon", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_is_understood_or_left_alone(header: str | None, seconds: float) -> None:
    assert seconds_asked(header) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert seconds_asked("Sat, 21 Oct 2990 07:28:00 GMT") > 1e9
    assert seconds_asked("Sat, 21 Oct 2990 07:28:00") > 1e9
