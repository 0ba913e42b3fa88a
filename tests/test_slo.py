"""Objectives and their classes: what is taken, what is refused and with which words."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from flyball.policies.slo import (
    BOUNDS,
    DEFAULT_CLASSES,
    MOST_CLASSES,
    NO_SLO,
    Slo,
    SloError,
    check_field,
    load_classes,
    make_slo,
    parse_classes,
)
from hypothesis import given
from hypothesis import strategies as st

BAD = [
    *(-5, 0, math.nan, math.inf, -math.inf, 10**12, 10**400, 10**5000, True, None, [500], {}),
    *(
        "",
        " ",
        "fast",
        "nan",
        "inf",
        "-1",
        "0",
        "1e12",
        "1e99999",
        "1_000",
        "5 00",
        "0x10",
        "\u0665\u0660",
    ),
    *("500ms", "500, 600", "\x00", "é"),
]


@pytest.mark.parametrize(
    "value", BAD, ids=lambda value: ascii(value)[:12] if value != 10**5000 else ""
)
@pytest.mark.parametrize("name", BOUNDS)
def test_nonsense_is_refused_with_the_fields_name_and_what_is_allowed(
    name: str, value: object
) -> None:
    low, high = BOUNDS[name]
    with pytest.raises(SloError) as refusal:
        check_field(name, value, "as-written")
    assert str(refusal.value).startswith(
        f"as-written must be a number of milliseconds from {low:g} to {high:,.0f}, not "
    )
    assert refusal.value.field == "as-written"
    assert len(str(refusal.value)) < 200


@given(st.sampled_from(sorted(BOUNDS)), st.data())
def test_what_is_within_bounds_is_taken_as_a_number_or_as_text(
    name: str, data: st.DataObject
) -> None:
    value = data.draw(st.floats(*BOUNDS[name]))
    assert check_field(name, value) == check_field(name, str(value)) == value / 1e3


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.binary()))
def test_whatever_comes_is_seconds_within_bounds_or_an_slo_error(value: object) -> None:
    low, high = BOUNDS["tpot_ms"]
    try:
        seconds = check_field("tpot_ms", value)
    except SloError:
        return
    assert low / 1e3 <= seconds <= high / 1e3


def test_fields_that_are_not_given_are_the_bases() -> None:
    base = Slo(ttft=1.0, deadline=9.0, name="base")
    assert make_slo({"ttft_ms": 500}, base) == Slo(0.5, math.inf, 9.0, "base")
    with pytest.raises(SloError, match="no objective 'tfft_ms'; there are ttft_ms, tpot_ms, dead"):
        make_slo({"tfft_ms": 500})


def test_only_objectives_bind() -> None:
    assert not NO_SLO.bound
    assert not Slo(name="none").bound
    assert Slo(deadline=3.0).bound


def test_an_unknown_class_lists_those_that_exist() -> None:
    for name in ("tigth", "", None, 3, ["tight"]):
        with pytest.raises(SloError, match="there are: tight, loose, none") as refusal:
            DEFAULT_CLASSES.get(name, "x-slo-class")
        assert refusal.value.field == "x-slo-class"
    with pytest.raises(SloError, match="there are: none"):
        parse_classes({}).get("tight")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[chat]\nttft_ms = -1", "SLO class 'chat': ttft_ms must be a number"),
        ("[chat]\nttft = 1", "SLO class 'chat': no objective 'ttft'"),
        ("chat = 3", "SLO class 'chat' must be a table of ttft_ms"),
        ("['a b']\nttft_ms = 1", "a name of an SLO class"),
        (f"[{'x' * 65}]", "a name of an SLO class"),
        ("['grün']\n", "a name of an SLO class"),
        ("[chat", "Expected ']'"),
        ("[chat]\nttft_ms = " + "9" * 5000, "classes.toml: "),
        ("a = " + "[" * 100_000, "classes.toml: "),
        ("\n".join(f"[c{i}]" for i in range(MOST_CLASSES + 1)), f"can be {MOST_CLASSES} SLO"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(SloError, match=says) as refusal:
        load_classes(path)
    assert str(refusal.value).startswith(str(path))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(SloError, match=str(path)):
            load_classes(path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(SloError, match="latin"):
        load_classes(tmp_path / "latin.toml")


def test_a_file_has_a_table_per_class(tmp_path: Path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text("[chat]\nttft_ms = 500\ntpot_ms = 40.5\n\n[batch]\ndeadline_ms = 6e4\n[any]\n")
    classes = load_classes(path)
    assert classes.get("chat") == Slo(0.5, 0.0405, math.inf, "chat")
    assert classes.get("batch") == Slo(deadline=60.0, name="batch")
    assert classes.get("any") == Slo(name="any")
