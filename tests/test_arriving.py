from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from flyball.inference.arriving import Arrival, run_arrivals
from flyball.inference.asking import LoadError
from flyball.policies.slo import NO_SLO, Slo
from openai_api import Api


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api().start()
    yield api
    api.stop()


def test_requests_come_at_their_times_whatever_became_of_the_others(api: Api) -> None:
    api.seconds = 1.0
    times = [0.3, 0.0, 0.2, 0.1]
    records = run_arrivals(api.url, [Arrival(at, f"{at}", 4, "prose") for at in times], 30.0)
    assert api.most_under_way == 4  # nobody waited for another to end
    assert [body["prompt"] for body in api.bodies] == ["0.0", "0.1", "0.2", "0.3"]
    start = records[1].start
    assert [record.start - start for record in records] == pytest.approx(times)
    for came, at in zip(api.came, sorted(times), strict=True):
        assert came >= start + at
    assert all(r.end > r.first > r.start and r.tokens == 4 and r.late >= 0 for r in records)


def test_what_was_asked_for_is_sent(api: Api) -> None:
    tight = Slo(ttft=0.5, tpot=0.02, name="tight")
    arrivals = [Arrival(0.0, [5, 6, 7], 9, "code", tight), Arrival(0.05, "a text", 2, "prose")]
    first, second = run_arrivals(api.url, arrivals, 30.0)
    assert api.bodies[0] == {
        "model": "model",
        "prompt": [5, 6, 7],
        "max_tokens": 9,
        "temperature": 0.0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    expected = {"x-slo-ttft-ms": "500.0", "x-slo-tpot-ms": "20.0", "x-slo-class": "tight"}
    assert api.objectives == [expected, {}]
    assert (first.slo, first.served, first.content_class) == (tight, "met", "code")
    assert (second.slo, second.served) == (NO_SLO, "")


def test_what_is_under_way_when_patience_is_over_is_broken_off_and_has_no_end(api: Api) -> None:
    api.seconds = 60.0
    (record,) = run_arrivals(api.url, [Arrival(0.0, "slow", 3, "prose")], 0.3)
    assert math.isnan(record.end)
    assert math.isnan(record.first)
    assert record.error is None


def test_it_is_over_when_enough_have_ended(api: Api) -> None:
    arrivals = [Arrival(0.0, "now", 3, "prose"), Arrival(3600.0, "in an hour", 3, "prose")]
    now, later = run_arrivals(api.url, arrivals, 30.0, enough=1)
    assert now.tokens == 3
    assert math.isnan(later.end)


def test_a_request_that_fails_says_why(api: Api) -> None:
    api.status = 500
    (record,) = run_arrivals(api.url, [Arrival(0.0, "x", 3, "prose")], 30.0)
    assert record.error == "HTTP 500: the engine is on fire"


@pytest.mark.parametrize(
    ("arrivals", "says"),
    [
        ([], "no arrivals"),
        ([Arrival(-1.0, "x", 1, "prose")], "0 s or later"),
        ([Arrival(math.nan, "x", 1, "prose")], "0 s or later"),
        ([Arrival(0.0, "x", 0, "prose")], "at least 1 token"),
        ([Arrival(0.0, "x", 1, "prose")], "no OpenAI API at http://127.0.0.1:9"),
    ],
)
def test_what_cannot_be_sent_is_refused(arrivals: list[Arrival], says: str) -> None:
    with pytest.raises(LoadError, match=says):
        run_arrivals("http://127.0.0.1:9", arrivals, 1.0)
