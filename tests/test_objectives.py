"""Objectives as they travel, and what is counted when requests end."""

from __future__ import annotations

import math

import pytest
from flyball.inference.attainment import Attained, Attainment, lost, missed
from flyball.inference.objectives import (
    Verdict,
    as_arguments,
    as_headers,
    resolve,
    verdict,
    with_verdict,
    without_verdict,
)
from flyball.policies.slo import BOUNDS, DEFAULT_CLASSES, Slo, SloError
from hypothesis import given
from hypothesis import strategies as st

TIGHT = DEFAULT_CLASSES.get("tight")


def test_headers_win_over_arguments_field_by_field() -> None:
    arguments = {"flyball_slo_ttft_ms": 700, "flyball_slo_tpot_ms": 70}
    slo = resolve({"x-slo-ttft-ms": "300"}, arguments, DEFAULT_CLASSES)
    assert slo == Slo(ttft=0.3, tpot=0.07)


def test_a_class_gives_defaults_that_single_fields_override() -> None:
    arguments = {"flyball_slo_class": "loose", "flyball_slo_ttft_ms": 2000}
    assert resolve({}, arguments, DEFAULT_CLASSES) == Slo(2.0, 0.15, math.inf, "loose")
    # The class in the header wins; the field overrides it, wherever it stands.
    headers = {"x-slo-class": "tight"}
    assert resolve(headers, arguments, DEFAULT_CLASSES) == Slo(2.0, 0.05, math.inf, "tight")


@pytest.mark.parametrize(
    ("headers", "arguments", "field"),
    [
        ({"x-slo-ttft-ms": "-1"}, {}, "x-slo-ttft-ms"),
        ({}, {"flyball_slo_deadline_ms": "soon"}, "flyball_slo_deadline_ms"),
        ({"x-slo-tpot-ms": "50"}, {"flyball_slo_tpot_ms": 0}, "flyball_slo_tpot_ms"),
        ({"x-slo-class": "best"}, {}, "x-slo-class"),
        ({"x-slo-class": "tight"}, {"flyball_slo_class": 3}, "flyball_slo_class"),
        ({}, {"flyball_slo_tfft_ms": 5}, "flyball_slo_tfft_ms"),
    ],
)
def test_everything_is_checked_and_named_as_it_was_written(
    headers: dict[str, str], arguments: dict[str, object], field: str
) -> None:
    with pytest.raises(SloError, match=field) as refusal:
        resolve(headers, arguments, DEFAULT_CLASSES)
    assert refusal.value.field == field


@given(
    st.fixed_dictionaries(
        {}, optional={name: st.floats(*bounds) for name, bounds in BOUNDS.items()}
    ),
    st.sampled_from(["", "tight", "loose", "none"]),
)
def test_what_was_resolved_is_resolved_to_the_same_again(
    fields: dict[str, float], name: str
) -> None:
    arguments: dict[str, object] = {f"flyball_slo_{field}": ms for field, ms in fields.items()}
    if name:
        arguments["flyball_slo_class"] = name
    slo = resolve({}, arguments, DEFAULT_CLASSES)
    for again in (
        resolve({}, as_arguments(slo), DEFAULT_CLASSES),
        resolve(as_headers(slo), {}, DEFAULT_CLASSES),
    ):
        assert again.name == slo.name
        for was, now in zip(
            (slo.ttft, slo.tpot, slo.deadline),
            (again.ttft, again.tpot, again.deadline),
            strict=True,
        ):
            assert now == was or abs(now - was) < 1e-9


def test_a_connectors_own_parameters_stay_as_they_are() -> None:
    theirs = {"do_remote_prefill": True, "remote_block_ids": [1, 2]}
    both = with_verdict(theirs, "tpot")
    assert theirs == {"do_remote_prefill": True, "remote_block_ids": [1, 2]}
    assert both == {**theirs, "flyball": {"slo": "best effort", "missed": "tpot"}}
    assert without_verdict(both) == theirs
    assert without_verdict(with_verdict(None, "")) is None


def test_a_verdict_on_several_parts_names_what_any_of_them_missed() -> None:
    heard = Verdict()
    for said in (None, 7, {}, {"slo": "perhaps"}):
        heard.hear(0, said)
    assert not heard.known
    heard.hear(0, verdict(""))
    assert heard.known
    assert str(heard) == "met"
    heard.hear(1, verdict("tpot+deadline"))
    heard.hear(2, verdict("ttft+tpot"))
    assert str(heard) == "best-effort; missed=tpot+deadline+ttft"


def test_the_latest_verdict_on_a_part_holds() -> None:
    heard = Verdict()
    heard.hear(0, verdict("tpot"))
    heard.hear(0, verdict(""))
    assert str(heard) == "met"


@pytest.mark.parametrize(
    ("slo", "first", "end", "emitted", "names"),
    [
        (Slo(ttft=1.0), 11.0, 99.0, 5, ()),
        (Slo(ttft=0.9), 11.0, 99.0, 5, ("ttft",)),
        (Slo(tpot=2.0), 11.0, 19.0, 5, ()),  # 8 s for the four tokens after the first
        (Slo(tpot=1.9), 11.0, 19.0, 5, ("tpot",)),
        (Slo(tpot=0.001), 11.0, 11.0, 1, ()),
        (Slo(deadline=9.0), 11.0, 19.0, 5, ()),
        (Slo(deadline=8.9), 11.0, 19.0, 5, ("deadline",)),
        (Slo(0.5, 0.5, 0.5), 11.0, 19.0, 5, ("ttft", "tpot", "deadline")),
        (Slo(name="none"), math.nan, math.nan, 0, ()),
        (Slo(ttft=60.0), math.nan, math.nan, 0, ("ttft",)),
    ],
)
def test_what_a_request_missed(
    slo: Slo, first: float, end: float, emitted: int, names: tuple[str, ...]
) -> None:
    assert missed(slo, 10.0, first, end, emitted) == names


def test_requests_are_counted_by_class() -> None:
    attainment = Attainment()
    assert attainment.finish(TIGHT, 0.0, 0.5, 1.0, 20) == ""
    assert attainment.finish(TIGHT, 0.0, 2.0, 9.0, 20) == "ttft+tpot"
    before = attainment.counts()
    # Given up too soon: it was attained, but as best effort.
    assert attainment.finish(TIGHT, 0.0, 0.5, 1.0, 20, "tpot") == "tpot"
    assert attainment.finish(Slo(deadline=5.0), 0.0, 0.5, 6.0, 20) == "deadline"
    assert before == {"tight": Attained(2, 1, 1, 2, 1, 1)}
    assert attainment.counts() == {
        "tight": Attained(3, 2, 2, 3, 2, 2),
        "": Attained(1, 1, 1, 0, 0, 1),
    }


def test_what_was_given_up_and_missed_is_said_once_in_order() -> None:
    assert lost(("tpot", "deadline"), "ttft") == "ttft+tpot+deadline"
    assert lost(("tpot",), "tpot") == "tpot"
    assert lost((), "") == ""
