"""Drafters on the wire and in the controller's status."""

from __future__ import annotations

import math

import pytest
from factories import World, beat, engine_info
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
