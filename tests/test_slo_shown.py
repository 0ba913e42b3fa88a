"""What became of requests with objectives reaches people: the status, its table, Prometheus."""

from __future__ import annotations

import io

import pytest
from factories import World, beat, engine_info
from flyball.controller.cli.status import table
from flyball.controller.engines import EngineView, check_beat
from flyball.controller.metrics import exposition
from flyball.inference.attainment import Attained
from flyball.inference.reports import FromEngine
from flyball.inference.wire import decode, encode
from flyball.policies.slo import MOST_CLASSES
from rich.console import Console

COUNTS = {"tight": Attained(200, 180, 190, 200, 170, 30), "": Attained(3, 3, 3, 3, 3, 0)}


def status(*engines: dict[str, Attained]) -> dict[str, object]:
    views = []
    for number, slo in enumerate(engines):
        view = EngineView(f"engine-{number}")
        sent = encode(beat(engine_info(view.name), slo=slo))
        view.hear(decode(sent, FromEngine), 0.0)
        views.append(view.status(1.0, World().prices))
    head = {"speed": 0.5, "reward": "latency-cost", "snapshot": 1, "run": "runs/x", "up_s": 1.0}
    return {**head, "learner": {}, "engines": views, "refused": {}, "last_refusal": ""}


def shown(*engines: dict[str, Attained]) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(table(status(*engines)))
    return out.getvalue()


def test_the_table_has_a_row_per_class() -> None:
    text = shown(COUNTS, {})
    assert "SLO tight, attained" in text
    assert "85% of 200 (ttft 90% tpot 95% deadline 100%), 30 best effort" in text
    assert "SLO without a class, attained" in text
    assert "100% of 3 (ttft 100% tpot 100% deadline 100%) " in text
    assert "SLO" not in shown({})


def test_prometheus_has_it() -> None:
    text = exposition(status(COUNTS)).decode()
    of = 'engine="engine-0"'
    assert f'flyball_engine_slo_finished_requests_total{{{of},slo_class="tight"}} 200.0' in text
    assert f'flyball_engine_slo_best_effort_requests_total{{{of},slo_class="tight"}} 30.0' in text
    attained = "flyball_engine_slo_attained_requests_total"
    for objective, count in (("ttft", 180), ("tpot", 190), ("deadline", 200), ("all", 170)):
        labels = f'{{{of},objective="{objective}",slo_class="tight"}}'
        assert f"{attained}{labels} {count}.0" in text
    assert f'{attained}{{{of},objective="all",slo_class=""}} 3.0' in text


@pytest.mark.parametrize(
    "slo",
    [
        {"tight": Attained(1, 2)},
        {"tight": Attained(1, -1)},
        {"tight": Attained(-1)},
        {"a b": Attained()},
        {f"c{i}": Attained() for i in range(MOST_CLASSES + 2)},
    ],
    ids=["more than ended", "negative", "less than none", "name", "too many"],
)
def test_counts_that_no_engine_could_have_are_refused(slo: dict[str, Attained]) -> None:
    with pytest.raises(ValueError, match="SLO class"):
        check_beat(beat(engine_info(), slo=slo))
