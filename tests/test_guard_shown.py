"""What a guard says reaches people: the status, its table, Prometheus."""

from __future__ import annotations

import io

import msgspec
import pytest
from factories import World, beat, engine_info
from flyball.controller.cli.status import table
from flyball.controller.engines import EngineView, check_beat
from flyball.controller.metrics import exposition
from flyball.inference.guard_state import GuardState
from rich.console import Console

FALLEN = GuardState(
    state="fallen back",
    reason="at speed 1 the policy's J was 1.300",
    falls=2,
    seconds_left=12.0,
    ratio=1.3,
    low=1.1,
    high=1.5,
    evidence=140.0,
    explored=0.1,
)


def status(guard: GuardState) -> dict[str, object]:
    view = EngineView("engine-0")
    view.hear(beat(engine_info(), guard=guard), 0.0)
    engines = [view.status(1.0, World().prices)]
    head = {"speed": 0.5, "reward": "latency-cost", "snapshot": 1, "run": "runs/x", "up_s": 1.0}
    return {**head, "learner": {}, "engines": engines, "refused": {}, "last_refusal": ""}


def shown(guard: GuardState) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(table(status(guard)))
    return out.getvalue()


def test_the_table_says_that_it_fell_back_and_why() -> None:
    text = shown(FALLEN)
    assert "fallen back for 12 s, 2 falls" in text
    assert "1.300 [1.100, 1.500]" in text
    assert "guard of engine-0 last fell back: at speed 1 the policy's J was 1.300" in text
    assert "last fell back" not in shown(GuardState("watching"))


def test_prometheus_has_it() -> None:
    text = exposition(status(FALLEN)).decode()
    assert 'flyball_engine_guard_fallen_back{engine="engine-0"} 1.0' in text
    assert 'flyball_engine_guard_falls_total{engine="engine-0"} 2.0' in text
    assert 'flyball_engine_guard_ratio{engine="engine-0"} 1.3' in text
    unknown = exposition(status(GuardState("watching"))).decode()
    assert "flyball_engine_guard_ratio{" not in unknown


@pytest.mark.parametrize("change", [{"falls": -1}, {"ratio": float("nan")}, {"evidence": -1.0}])
def test_figures_that_no_guard_could_have_are_refused(change: dict[str, float]) -> None:
    guard = msgspec.structs.replace(FALLEN, **change)
    with pytest.raises(ValueError, match="finite"):
        check_beat(beat(engine_info(), guard=guard))
