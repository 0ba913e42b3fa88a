from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from factories import World, totals
from flyball.controller.control import Control
from flyball.controller.http import LARGEST_BODY, HttpError, HttpServer, parse_http
from flyball.controller.hub import Hub
from flyball.controller.learner import Learner
from flyball.controller.plan.learner import PlanLearner
from flyball.controller.request import Mailbox
from flyball.controller.settings import LearnerSettings
from flyball.inference.address import Address
from ports import free_ports
from running import Peer, until


class Running:
    """The API over a real control, hub and learner, in this process."""

    def __init__(self, run) -> None:
        first = free_ports(4)
        self.hub = Hub(Address("127.0.0.1", first))
        self.learner = Learner(LearnerSettings(first_snapshot=8, publish_seconds=0.0), run)
        plans = PlanLearner(LearnerSettings(), run)
        self.control = Control(self.hub, self.learner, plans, run)
        self.mailbox = Mailbox()
        self.hub.watch(self.mailbox)
        self.server = HttpServer(Address("127.0.0.1", first + 3), self.mailbox)
        self.url = f"http://127.0.0.1:{first + 3}"
        self.paused = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._run)
        self.server.start()
        self._thread.start()

    def _run(self) -> None:
        while not self._stop:
            for message in self.hub.poll(0.05).messages:
                self.control.hear(message)
            snapshot = self.learner.publish()
            if snapshot is not None:
                self.control.publish(snapshot)
            if not self.paused.is_set():
                for request in self.mailbox.take():
                    self.control.execute(request)

    def close(self) -> None:
        self._stop = True
        self._thread.join()
        self.server.close()
        self.mailbox.close()
        self.learner.close()
        self.hub.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("run"))
    try:
        until(lambda: _up(running.url))
        with Peer(running.hub.address) as peer:
            transitions = World().transitions(40)
            peer.beat()
            peer.report(transitions)
            peer.beat(totals=totals(transitions))
            until(running.learner.current)
            yield running
    finally:
        running.close()


def _up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def api(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url) as client:
        yield client


def test_status_shows_everything(api: httpx.Client) -> None:
    status = api.get("/v1/status").json()
    assert {"run", "speed", "reward", "learner", "engines", "snapshot"} <= set(status)
    (engine,) = status["engines"]
    assert engine["engine"] == "engine-0"
    assert engine["tokens_per_second"] > 0
    assert engine["dollars_per_token"] > 0
    assert 0 < engine["acceptance"][0] <= 1
    assert sum(engine["depth_shares"]) == pytest.approx(1.0)
    assert status["learner"]["transitions"] == 40


def test_the_knob_is_set_and_shown(api: httpx.Client) -> None:
    assert api.put("/v1/knob", json={"speed": 0.8}).json() == {"speed": 0.8}
    assert api.get("/v1/knob").json() == {"speed": 0.8}
    assert api.put("/v1/knob", json={"speed": 1}).json() == {"speed": 1.0}


@pytest.mark.parametrize(
    "body",
    [
        *(f'{{"speed": {v}}}' for v in ("1.5", "-0.1", '"0.5"', "null", "true", "NaN", "Infinity")),
        *("{}", "[]", "", "{", '{"speed": 1, "more": 1}', "[" * 50_000),
    ],
)
def test_a_bad_speed_is_refused_and_the_old_one_stays(api: httpx.Client, body: str) -> None:
    api.put("/v1/knob", json={"speed": 0.25})
    answer = api.put("/v1/knob", content=body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}
    assert "Traceback" not in answer.text
    assert api.get("/v1/knob").json() == {"speed": 0.25}


def test_a_refusal_says_what_would_be_right(api: httpx.Client) -> None:
    assert "[0, 1]" in api.put("/v1/knob", json={"speed": 2}).json()["error"]
    assert "a number in [0, 1]" in api.put("/v1/knob", json={"speed": "x"}).json()["error"]
    assert '"speed"' in api.put("/v1/knob", json={}).json()["error"]
    answer = api.put("/v1/engines/engine-0/mode", json={"mode": "fast"})
    assert answer.status_code == 400
    assert "shadow" in answer.json()["error"]
    answer = api.put("/v1/engines/engine-0/policy", json={"policy": "turbo"})
    assert answer.status_code == 400
    assert "there are learned, off, fixed" in answer.json()["error"]
    answer = api.put("/v1/engines/engine-0/pin", json={"depth": 7})
    assert answer.status_code == 400
    assert "[0, 6]" in answer.json()["error"]


def test_a_body_that_is_too_large_is_refused(api: httpx.Client) -> None:
    body = json.dumps({"speed": 0.5, "x": "y" * LARGEST_BODY})
    assert api.put("/v1/knob", content=body).status_code == 413


def test_an_engine_that_is_not_known_is_404(api: httpx.Client) -> None:
    for path, body in (
        ("mode", {"mode": "apply"}),
        ("policy", {"policy": "off"}),
        ("pin", {"depth": 1}),
    ):
        answer = api.put(f"/v1/engines/nobody/{path}", json=body)
        assert answer.status_code == 404
        assert "engine-0" in answer.json()["error"]


def test_mode_policy_and_pin_are_set(api: httpx.Client) -> None:
    assert api.put("/v1/engines/engine-0/mode", json={"mode": "shadow"}).status_code == 200
    answer = api.put("/v1/engines/engine-0/policy", json={"policy": "ucb?c=0.5"})
    assert answer.json() == {"engine": "engine-0", "policy": "ucb?c=0.5"}
    first = api.put("/v1/engines/engine-0/pin", json={"depth": 3}).json()["pin"]
    second = api.put("/v1/engines/engine-0/pin", json={"depth": None}).json()["pin"]
    assert second > first


def test_a_reward_is_swapped_and_a_bad_one_is_not(api: httpx.Client) -> None:
    assert api.put("/v1/reward", json={"reward": "goodput"}).json() == {"reward": "goodput"}
    answer = api.put("/v1/reward", json={"reward": "nowhere:Nothing"})
    assert answer.status_code == 400
    assert "'goodput' stays in force" in answer.json()["error"]
    assert api.get("/v1/reward").json() == {"reward": "goodput"}
    assert api.put("/v1/reward", json={"reward": 3}).status_code == 400


def test_snapshots_are_listed_and_promoted(api: httpx.Client) -> None:
    listed = api.get("/v1/snapshots").json()
    numbers = [snapshot["number"] for snapshot in listed["snapshots"]]
    assert listed["current"] in numbers
    answer = api.post(f"/v1/snapshots/{numbers[0]}/promote")
    assert answer.json() == {"snapshot": numbers[0]}
    for number, code in (("999", 404), ("one", 400), ("-1", 400), ("9" * 30, 400)):
        answer = api.post(f"/v1/snapshots/{number}/promote")
        assert answer.status_code == code
        assert answer.json()["error"]


def test_a_checkpoint_is_written(api: httpx.Client, running: Running) -> None:
    run = api.post("/v1/checkpoint").json()["run"]
    assert str(running.learner.run) == run
    assert list((running.learner.run / "checkpoint").iterdir())


def test_metrics_are_prometheus_text(api: httpx.Client) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    assert {"flyball_speed", "flyball_engine_decisions", "flyball_engine_acceptance"} <= set(
        families
    )
    assert all(name.startswith("flyball_") for name in families)
    assert families["flyball_learner_transitions"].type == "counter"
    assert families["flyball_learner_replay_bytes"].type == "gauge"
    assert families["flyball_engine_decide_p99_seconds"].samples[0].value < 1.0
    # As promtool asks for: help, base units, and _total for counters alone.
    assert all(f.documentation and f.type in ("gauge", "counter") for f in families.values())
    assert not [name for name in families if re.search("micro|milli|_us|_ms", name)]
    samples = [(f, s.name) for f in families.values() for s in f.samples]
    assert all((f.type == "counter") == name.endswith("_total") for f, name in samples)
    assert families["flyball_engine_speed"].samples[0].labels == {"engine": "engine-0"}


def test_what_is_not_there_is_404_in_json(api: httpx.Client) -> None:
    assert "error" in api.get("/v1/nothing").json()
    assert api.get("/v1/nothing").status_code == 404
    assert api.delete("/v1/knob").status_code == 405
    assert "error" in api.delete("/v1/knob").json()
    assert api.get("/healthz").json() == {"ok": True}


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}]
)
def test_pages_of_other_sites_cannot_turn_the_knob(api: httpx.Client, headers: dict) -> None:
    assert api.put("/v1/knob", json={"speed": 1}, headers=headers).status_code == 403


def test_pages_of_this_machine_can(api: httpx.Client) -> None:
    headers = {"Origin": "http://localhost:8757", "Host": "localhost:8757"}
    assert api.get("/v1/knob", headers=headers).status_code == 200


def test_a_busy_controller_says_so(api: httpx.Client, running: Running) -> None:
    running.paused.set()
    try:
        answer = api.get("/readyz", timeout=5)
        assert answer.status_code == 503
        assert "busy" in answer.json()["error"]
        assert api.get("/healthz").status_code == 200
    finally:
        running.paused.clear()
        running.mailbox.wake()


def test_a_port_in_use_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(HttpError, match=f"{address.port}.*in use"):
            HttpServer(address, Mailbox())


@pytest.mark.parametrize("text", ["", "8757", "host", "host:x", "host:0", "host:70000"])
def test_an_http_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_http(text)
