"""Drafters on the wire and in the controller's status."""

from __future__ import annotations

import math

import pytest
from factories import World, beat, engine_info
from flyball.controller.cli.status import _ROWS
from flyball.controller.drafters_shown import DrafterPoints, drafter_families
from flyball.controller.engines import MOST_DRAFTERS, EngineView, check_beat
from flyball.inference.drafter_records import DrafterBeat
from flyball.inference.reports import Beat, FromEngine
from flyball.inference.wire import decode, encode

BEAT = DrafterBeat(steps=3, verified=7, accepted=4, draft_us=12.5, last_fault="x", out=True)


def test_drafters_reach_the_status() -> None:
    sent = decode(encode(beat(engine_info("e"), drafters={"ngram": BEAT})), FromEngine)
    assert isinstance(sent, Beat)
    view = EngineView("e")
    view.hear(sent, 0.0)
    check_beat(sent)
    shown = view.status(0.0, World().prices)["drafters"]["ngram"]
    assert (shown["verified"], shown["draft_us"], shown["out"]) == (7, 12.5, True)


@pytest.mark.parametrize(
    "drafters",
    [
        {str(i): BEAT for i in range(MOST_DRAFTERS + 1)},
        {"n" * 300: BEAT},
        {"n": DrafterBeat(verified=-1)},
        {"n": DrafterBeat(draft_us=math.nan)},
    ],
    ids=["too many", "long name", "negative", "no number"],
)
def test_what_no_engine_could_have_sent_is_refused(drafters: dict[str, DrafterBeat]) -> None:
    with pytest.raises(ValueError, match="drafter"):
        check_beat(beat(engine_info(), drafters=drafters))


def status(**drafters: DrafterBeat) -> dict[str, object]:
    view = EngineView("e")
    view.hear(beat(engine_info("e"), drafters=drafters), 0.0)
    return view.status(0.0, World().prices)


def test_prometheus_has_every_drafter_of_every_engine() -> None:
    families = drafter_families([status(ngram=BEAT, suffix=DrafterBeat(assigned=5, scored=2))])
    found = {
        (sample.name, sample.labels["drafter"]): sample.value
        for family in families
        for sample in family.samples
    }
    assert found["flyball_engine_drafter_accepted_tokens_total", "ngram"] == 4
    assert found["flyball_engine_drafter_assigned_steps_total", "suffix"] == 5
    assert found["flyball_engine_drafter_seconds", "ngram"] == pytest.approx(12.5e-6)


def test_points_tell_what_was_done_since_the_last_one() -> None:
    points = DrafterPoints()

    def since(**drafters: DrafterBeat) -> dict[str, float]:
        return points.since({"e": beat(engine_info("e"), drafters=drafters)})

    since(a=DrafterBeat(assigned=100, steps=100, accepted=0), b=DrafterBeat(assigned=100))
    told = since(
        a=DrafterBeat(assigned=103, steps=103, accepted=6),
        b=DrafterBeat(assigned=101, scored=4, scored_accepted=2),
    )
    assert told == {
        "drafters/share_a": 0.75,
        "drafters/share_b": 0.25,
        "drafters/accepted_a": 2.0,
        "drafters/accepted_b": 0.5,
    }
    assert since(a=DrafterBeat(assigned=1, steps=1, accepted=1)) == {
        "drafters/share_a": 1.0,
        "drafters/accepted_a": 1.0,
    }


def test_an_operator_sees_who_drafts() -> None:
    shown = status(a=DrafterBeat(assigned=3, steps=3, accepted=6), b=DrafterBeat(assigned=1))
    rows = {label: show({**shown, "drafter": "learned"}) for label, show in _ROWS}
    assert rows["drafter"] == "learned"
    assert rows["drafters, share"] == "a 75% b 25%"
    assert rows["drafters, accepted of 1 draft"] == "a 2.00"
