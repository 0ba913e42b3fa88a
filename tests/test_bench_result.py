from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from flyball.benchmarks.machine import machine, versions
from flyball.benchmarks.result import KEYS, ResultError, check, result, write


def test_a_result_has_the_documented_keys() -> None:
    found = result("overhead", 7, {"plain": {"depth": 4}}, {"throughput_ratio": 1.0})
    assert tuple(found) == KEYS
    assert found["seed"] == 7
    assert found["arms"] == {"plain": {"depth": 4}}
    json.dumps(found)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, "1", True, [1.0], {"a": 1}])
def test_a_figure_that_is_no_finite_number_is_refused(bad: object) -> None:
    with pytest.raises(ResultError, match="figure x must be a finite number"):
        result("b", 0, {}, {"x": bad})


@pytest.mark.parametrize("names", [("x_low",), ("x", "x_low"), ("x_low", "x_high")])
def test_half_an_interval_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ResultError, match="needs x, x_low and x_high"):
        result("b", 0, {}, dict.fromkeys(names, 1.0))


def test_other_keys_are_refused() -> None:
    found = result("b", 0, {}, {})
    with pytest.raises(ResultError, match="has the keys"):
        check({**found, "note": "hello"})


def test_a_file_is_replaced_wholly_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.json"
    write(path, {"a": 1})
    with pytest.raises(TypeError):
        write(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_what_is_nested_stands_on_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    classes = {name: {"attained": 1 / 3, "ttft": 0.5} for name in ("tight", "loose")}
    arms = {"off": {"policy": "off", "load 1": {"goodput": 1.0, "classes": classes}}}
    found = result("b", 0, arms, {"x": 1 / 3, "y": 2.0})
    write(tmp_path / "r.json", found)
    text = (tmp_path / "r.json").read_text()
    assert json.loads(text) == found
    assert '          "tight": {"attained": 0.333333, "ttft": 0.5},\n' in text
    assert f'    "x": {1 / 3},\n' in text


def test_the_machine_is_described_without_its_name() -> None:
    found = machine()
    assert found["cores"] >= 1
    assert found["memory_gib"] > 0
    assert platform.node() not in json.dumps(found).split('"')
    assert versions()["python"] == platform.python_version()
    assert {"flyball", "numpy"} <= set(versions())
