"""Who drafts for whom."""

from __future__ import annotations

import pytest
from flyball.inference.choosing import DrafterChooser
from flyball.inference.drafters.catalogue import RANDOM
from flyball.inference.drafters.drafter import Owner
from flyball.inference.requests import LONGEST_NAME, Hints, RequestState

OFFERED = ("draft", "ngram")


def state(wanted: str = "") -> RequestState:
    made = RequestState(None, None)
    made.wanted = wanted
    return made


def test_a_request_comes_before_a_pin_and_a_pin_before_the_default() -> None:
    chooser = DrafterChooser(OFFERED)
    requests = [state(), state("ngram"), state("none")]
    assert chooser.choose(requests) == ["draft", "ngram", "none"]
    chooser.set("none")
    assert chooser.choose(requests) == ["none", "ngram", "none"]
    chooser.set(None)
    assert chooser.choose(requests)[0] == "draft"
    assert DrafterChooser(OFFERED, "ngram").choose([state()]) == ["ngram"]


def test_random_draws_from_all_that_is_offered_for_each_request_anew() -> None:
    chooser = DrafterChooser(OFFERED, RANDOM, seed=0)
    drawn = {*zip(*(chooser.choose([state(), state()]) for _ in range(200)), strict=True)}
    assert [{*row} for row in drawn] == [{"draft", "ngram", "none"}] * 2


def test_what_is_not_offered_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="'chain' is none of draft, ngram, none"):
        DrafterChooser(OFFERED, "chain")
    with pytest.raises(ValueError, match="'chain' is none of draft, ngram, none"):
        DrafterChooser(OFFERED).set("chain")


def test_requests_say_whose_they_are_and_who_is_to_draft() -> None:
    hints = Hints(drafters=OFFERED)
    said = hints.state(
        {"flyball_tenant": "a", "flyball_session": "s", "flyball_drafter": "ngram"},
    )
    assert (said.owner, said.wanted) == (Owner("a", "s"), "ngram")
    assert (hints.state(None).owner, hints.state(None).wanted) == (Owner(), "")
    assert hints.ignored == 0


@pytest.mark.parametrize(
    "hint",
    [
        {"flyball_tenant": 7},
        {"flyball_session": ["s"]},
        {"flyball_tenant": "t" * (LONGEST_NAME + 1)},
    ],
)
def test_nobodys_request_is_kept_from_drafters_that_remember(hint: dict[str, object]) -> None:
    hints = Hints(drafters=OFFERED)
    assert hints.state({"flyball_tenant": "a"} | hint).owner is None
    assert hints.ignored == 1
    assert "must be a text" in hints.last_ignored


@pytest.mark.parametrize("name", ["chain", 3, None, ["ngram"]])
def test_a_drafter_that_is_not_offered_is_as_if_not_asked_for(name: object) -> None:
    hints = Hints(drafters=OFFERED)
    assert hints.state({"flyball_drafter": name}).wanted == ""
    assert hints.ignored == 1
    assert "is none of draft, ngram" in hints.last_ignored
