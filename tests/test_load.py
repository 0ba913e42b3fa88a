from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator

import pytest
from flyball.benchmarks.load import summary
from flyball.inference import load
from flyball.inference.asking import LoadError, RequestRecord
from flyball.inference.load import Load, LoadSettings, by_class, prompt_stream, run_load
from flyball.inference.models.prompts import Prompt
from flyball.inference.traffic import Traffic
from flyball.policies.slo import NO_SLO, Slo
from openai_api import Api


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api().start()
    yield api
    api.stop()


def some(n: int) -> Iterator[Prompt]:
    return (Prompt(f"prompt {i}", "prose") for i in range(n))


def endless() -> Iterator[Prompt]:
    while True:
        yield Prompt("on and on", "prose")


def test_as_many_requests_are_under_way_as_asked_for_on_as_many_connections(api: Api) -> None:
    records = run_load(LoadSettings(url=api.url, concurrency=3), some(12))
    assert len(records) == 12
    assert api.most_under_way == 3
    assert len(api.peers) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_the_engines_own_count(api: Api, stream: bool) -> None:
    settings = LoadSettings(url=api.url, concurrency=2, max_tokens=10, stream=stream)
    records = run_load(settings, some(4))
    assert [record.tokens for record in records] == [10] * 4
    assert all(record.error is None for record in records)


def test_streaming_tells_when_the_first_token_came(api: Api) -> None:
    (streamed,) = run_load(LoadSettings(url=api.url, stream=True), some(1))
    (whole,) = run_load(LoadSettings(url=api.url), some(1))
    assert streamed.start < streamed.first <= streamed.end
    assert math.isnan(whole.first)


def test_what_was_asked_for_is_sent(api: Api) -> None:
    settings = LoadSettings(
        url=api.url,
        max_tokens=5,
        temperature=1.0,
        ignore_eos=True,
        token_ids=True,
        arguments={"flyball_class": "tools", "flyball_speed": 0.25},
    )
    (record,) = run_load(settings, some(1))
    assert record.token_ids == [0, 1, 2, 3, 4]
    assert api.bodies[0] == {
        "model": "model",
        "prompt": "prompt 0",
        "max_tokens": 5,
        "temperature": 1.0,
        "ignore_eos": True,
        "return_token_ids": True,
        "vllm_xargs": {"flyball_class": "tools", "flyball_speed": 0.25},
    }


def test_the_number_of_requests_bounds_it(api: Api) -> None:
    records = run_load(LoadSettings(url=api.url, concurrency=4, requests=6), endless())
    assert sorted(record.number for record in records) == list(range(6))


def test_a_failed_request_is_recorded_with_its_reason_and_the_load_goes_on(api: Api) -> None:
    api.status = 500
    records = run_load(LoadSettings(url=api.url, concurrency=2), some(3))
    assert [record.error for record in records] == ["HTTP 500: the engine is on fire"] * 3


def test_a_request_that_takes_too_long_fails(api: Api) -> None:
    api.seconds = 5.0
    (record,) = run_load(LoadSettings(url=api.url, timeout=0.1), some(1))
    assert record.error is not None
    assert "ReadTimeout" in record.error


def test_traffic_goes_on_until_it_is_stopped(api: Api) -> None:
    load = Load(LoadSettings(url=api.url, concurrency=2), endless())

    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(load.run(stop))
        while len(load.records) < 5:
            await asyncio.sleep(0.01)
        stop.set()
        await running

    asyncio.run(main())
    assert len(load.records) >= 5
    assert all(record.error is None for record in load.records)


def test_traffic_in_a_thread_ends_when_stopped(api: Api) -> None:
    with Traffic(LoadSettings(url=api.url, workload="tool_calls", concurrency=2)) as traffic:
        while len(traffic.records) < 4:
            time.sleep(0.01)
        assert traffic.alive
    assert not traffic.alive
    assert {record.content_class for record in traffic.records} == {"tool_calls"}


def test_an_api_that_is_not_there_is_named() -> None:
    with pytest.raises(LoadError, match=r"no OpenAI API at http://127.0.0.1:9.*is the engine up"):
        run_load(LoadSettings(url="http://127.0.0.1:9"), some(1))
    traffic = Traffic(LoadSettings(url="http://127.0.0.1:9", workload="tool_calls")).start()
    with pytest.raises(LoadError, match="no OpenAI API"):
        traffic.stop()


def test_a_mixed_workload_takes_the_classes_in_turn() -> None:
    source = prompt_stream("mixed", seed=3)
    drawn = [next(source) for _ in range(6)]
    assert [prompt.content_class for prompt in drawn] == ["code", "tool_calls", "prose"] * 2
    again = prompt_stream("mixed", seed=3)
    assert [next(again) for _ in range(6)] == drawn


def test_prompts_are_ready_before_the_first_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def slowly(content_class: str, n: int, seed: int) -> list[Prompt]:
        made.append(content_class)
        return [Prompt("a prompt", "prose")] * n

    monkeypatch.setattr(load, "prompts", slowly)
    Traffic(LoadSettings(url="http://127.0.0.1:9"))
    assert made == ["code", "tool_calls", "prose"]


def test_objectives_go_out_as_headers_and_what_is_said_of_them_is_kept(api: Api) -> None:
    by_number = LoadSettings(
        url=api.url,
        concurrency=1,
        stream=True,
        objectives=lambda number, _: Slo(ttft=0.5 + number, name="tight") if number else NO_SLO,
    )
    first, second = run_load(by_number, some(2))
    assert (first.slo, first.served) == (NO_SLO, "")
    assert (second.slo, second.served) == (Slo(ttft=1.5, name="tight"), "met")
    objectives = by_class({"prose": Slo(deadline=0.25), "code": Slo(tpot=1.0)})
    (whole,) = run_load(LoadSettings(url=api.url, objectives=objectives), some(1))
    assert whole.served == "met"
    assert api.objectives == [
        {},
        {"x-slo-ttft-ms": "1500.0", "x-slo-class": "tight"},
        {"x-slo-deadline-ms": "250.0"},
    ]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"workload": "poems"}, "there are code, tool_calls, prose, mixed"),
        ({"concurrency": 0}, "at least 1"),
        ({"max_tokens": 0}, "at least 1"),
        ({"url": "127.0.0.1:8000"}, "http://HOST:PORT"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict, reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        LoadSettings(**{"url": "http://127.0.0.1:1", **wrong})


def test_a_load_without_a_bound_is_refused() -> None:
    with pytest.raises(LoadError, match="needs a bound"):
        run_load(LoadSettings(url="http://127.0.0.1:1"))


def test_a_summary_counts_tokens_and_failures() -> None:
    records = [
        RequestRecord(0, "code", 0.0, first=0.5, end=1.5, tokens=11),
        RequestRecord(1, "code", 0.0, end=1.0, error="HTTP 500: no"),
    ]
    found = summary(records, seconds=2.0)
    assert (found["requests"], found["failed"]) == (2, 1)
    assert found["tokens_per_second"] == pytest.approx(5.5)
    assert found["first_token_s_p50"] == pytest.approx(0.5)
    assert found["per_output_token_s_p50"] == pytest.approx(0.1)
    assert found["errors"] == ["HTTP 500: no"]
