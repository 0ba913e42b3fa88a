"""Service-level objectives on a real engine, from the client's header to what is said of them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from flyball.inference.load import LoadSettings, by_class, run_load
from flyball.policies.slo import Slo
from stack import Stack, eventually

AMPLE = {"x-slo-ttft-ms": "600000", "x-slo-tpot-ms": "60000", "x-slo-deadline-ms": "6000000"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "def main(", "max_tokens": 8},
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": "import os"}],
        "max_tokens": 8,
    },
}


def ask(stack: Stack, path: str = "/v1/completions", **options: Any) -> httpx.Response:
    body = (
        {"model": "target", "temperature": 0, "ignore_eos": True}
        | BODIES[path]
        | options.pop("body", {})
    )
    return httpx.post(f"{stack.engine.url}{path}", json=body, timeout=120, **options)


def error(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 400
    found: dict[str, Any] = answer.json()["error"]
    return found


@pytest.mark.parametrize("path", BODIES)
def test_nonsense_is_refused_in_vllms_own_form(stack: Stack, path: str) -> None:
    refusal = error(ask(stack, path, headers={"x-slo-tpot-ms": "-3"}))
    assert refusal["param"] == "x-slo-tpot-ms"
    assert "from 0.1 to 600,000" in refusal["message"]
    refusal = error(ask(stack, path, body={"vllm_xargs": {"flyball_slo_ttft_ms": "soon"}}))
    assert refusal["param"] == "flyball_slo_ttft_ms"
    refusal = error(ask(stack, path, headers={"x-slo-class": "tigth"}))
    assert "there are: tight, loose, none" in refusal["message"]
    # The same form as that of what vLLM itself refuses.
    theirs = error(ask(stack, path, body={"max_tokens": -1}))
    assert set(theirs) == set(refusal)
    assert type(theirs["code"]) is type(refusal["code"])


@pytest.mark.parametrize("path", BODIES)
def test_an_ample_objective_is_met_and_an_impossible_one_is_best_effort(
    stack: Stack, path: str
) -> None:
    met = ask(stack, path, headers=AMPLE)
    assert met.status_code == 200
    assert met.headers["x-slo-served"] == "met"
    assert met.json()["kv_transfer_params"] is None
    missed = ask(stack, path, headers={"x-slo-ttft-ms": "1", "x-slo-deadline-ms": "1"})
    assert missed.status_code == 200
    assert missed.headers["x-slo-served"] == "best-effort; missed=ttft+deadline"
    assert missed.json()["choices"][0]["finish_reason"] == "length"
    without = ask(stack, path)
    assert "x-slo-served" not in without.headers


@pytest.mark.parametrize("path", BODIES)
def test_a_stream_says_it_before_its_end(stack: Stack, path: str) -> None:
    for headers, says in ((AMPLE, "met"), ({"x-slo-ttft-ms": "1"}, "best-effort; missed=ttft")):
        text = ask(stack, path, headers=headers, body={"stream": True}).text
        assert text.endswith(f"\n\n: x-slo-served: {says}\n\ndata: [DONE]\n\n")
        events = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
        assert json.loads(events[-1])["choices"][0]["finish_reason"] == "length"


def test_responses_are_judged_too(stack: Stack) -> None:
    url = f"{stack.engine.url}/v1/responses"
    body = {"model": "target", "input": "import os", "max_output_tokens": 8, "ignore_eos": True}
    assert error(httpx.post(url, json=body, headers={"x-slo-class": "x"}))["param"] == "x-slo-class"
    met = httpx.post(url, json=body, headers=AMPLE, timeout=120)
    assert (met.status_code, met.headers.get("x-slo-served")) == (200, "met"), met.text
    late = {"x-slo-deadline-ms": "1"}
    text = httpx.post(url, json=body | {"stream": True}, headers=late, timeout=120).text
    assert "event: response.output_text.delta" in text
    assert text.endswith("\n\n: x-slo-served: best-effort; missed=deadline\n\n")


def test_a_request_that_ends_at_a_stop_string_is_judged_too(stack: Stack) -> None:
    text = ask(stack, body={"max_tokens": 40}).json()["choices"][0]["text"]
    stop = text[len(text) // 2 :][:4]
    answer = ask(stack, headers=AMPLE, body={"max_tokens": 40, "stop": [stop]})
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
    assert answer.headers["x-slo-served"] == "met"
    before = stack.state()["slo"].get("tight", {}).get("finished", 0)
    ask(stack, headers={"x-slo-class": "tight"}, body={"max_tokens": 40, "stop": [stop]})
    with stack.traffic(concurrency=1):  # the next step tells the engine
        eventually(lambda: stack.state()["slo"].get("tight", {}).get("finished") == before + 1)


def test_several_choices_are_judged_together(stack: Stack) -> None:
    body = {"n": 2, "temperature": 1.0}
    assert ask(stack, headers=AMPLE, body=body).headers["x-slo-served"] == "met"
    assert "ttft" in ask(stack, headers={"x-slo-ttft-ms": "1"}, body=body).headers["x-slo-served"]


def test_what_became_of_each_class_is_counted(stack: Stack) -> None:
    before = {name: counts["finished"] for name, counts in stack.state()["slo"].items()}
    settings = LoadSettings(
        url=stack.engine.url,
        workload="mixed",
        requests=6,
        max_tokens=8,
        stream=True,
        objectives=by_class(
            {"code": Slo(ttft=600.0, name="loose"), "prose": Slo(ttft=0.001, name="tight")}
        ),
    )
    records = run_load(settings)
    assert [record.error for record in records if record.error] == []
    served = {record.content_class: record.served for record in records}
    assert "ttft" in served["prose"]
    assert served["tool_calls"] == ""

    def counted() -> bool:
        slo = stack.state()["slo"]
        return all(
            name in slo and slo[name]["finished"] == before.get(name, 0) + 2
            for name in ("loose", "tight")
        )

    eventually(counted)
    assert stack.state()["slo"]["loose"]["ttft"] >= 2
    assert stack.state()["slo"]["tight"]["best_effort"] >= 2
    assert stack.state()["faults"] == 0
