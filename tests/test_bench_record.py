"""What a live run measured is never lost, and another sitting goes on with it."""

from __future__ import annotations

import json

import live_runs
import msgspec
import numpy as np
import pytest
from flyball.benchmarks.depth.options import DepthOptions
from flyball.benchmarks.depth.record import RecordError, check_setup, load_record
from flyball.benchmarks.depth.tally import SUMS, Arm


def test_a_record_comes_back_as_it_was(tmp_path) -> None:
    path = tmp_path / "new" / "tally.json"
    record = live_runs.record(2)
    record.save(path)
    found = load_record(path)
    assert found == record
    assert np.array_equal(found.tally().sums, record.tally().sums)
    assert found.arms[-1] == Arm("learned", 1.0)
    assert [file.name for file in path.parent.iterdir()] == ["tally.json"]


def test_a_write_that_fails_leaves_the_record_as_it_was(tmp_path, monkeypatch) -> None:
    path = tmp_path / "tally.json"
    live_runs.record(1).save(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="no space"):
        live_runs.record(2).save(path)
    assert path.read_bytes() == before


def test_units_are_rounds_and_phases_of_what_is_warm() -> None:
    record = live_runs.record(2)
    rng = np.random.default_rng(1)
    record.visits.insert(0, live_runs.visit(0, live_runs.PHASES[0], rng, cold=True))
    tally = record.tally()
    assert tally.units == [(n, phase) for n in range(2) for phase in live_runs.PHASES]
    cold = record.sums(record.visits[:1])
    assert (cold[record.arms.index(Arm("ucb", 1.0))] == 0).all()
    assert (cold[record.arms.index(Arm("fixed?depth=1")), :, SUMS.index("emitted")] > 0).all()


def test_what_a_round_lacks_is_left() -> None:
    record = live_runs.record(2)
    gone = record.visits.pop()
    assert record.left(0) == []
    assert record.left(1) == [gone.phase]
    assert record.left(2) == live_runs.PHASES


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda r: r.update(schema=2), "version 2"),
        (lambda r: r["visits"][0].update(phase="9 x poems"), "no phase '9 x poems'"),
        (lambda r: r["visits"][0]["turns"][0].__setitem__(0, 6), "no arm 6"),
        (lambda r: r["visits"][0]["turns"][0].__setitem__(2, [1.0]), "6 finite numbers"),
        (lambda r: r["visits"][0]["turns"][0].__setitem__(1, -1.0), "from 0"),
        (lambda r: r["setup"].update(arms=[]), "no arms"),
        (lambda r: r.pop("setup"), "setup"),
    ],
)
def test_a_file_that_is_no_record_is_refused(tmp_path, edit, said) -> None:
    path = tmp_path / "tally.json"
    live_runs.record(1).save(path)
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=said):
        load_record(path)


def test_a_record_that_is_cut_off_is_refused(tmp_path) -> None:
    path = tmp_path / "tally.json"
    live_runs.record(1).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match="no record"):
        load_record(path)


def test_a_record_measured_otherwise_is_refused_with_what_differs() -> None:
    record = live_runs.record(1)
    check_setup(
        record, msgspec.json.decode(msgspec.json.encode(record.setup), type=type(record.setup))
    )
    with pytest.raises(RecordError, match="k_max 3 then, 6 now; guard False then, True now"):
        check_setup(record, live_runs.setup(k_max=6, guard=True))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"speeds": (0.5, 1.5)}, "speeds must be in"),
        ({"cold": -1.0}, "cold must be in"),
        ({"resume": "tally.json", "engine": "simulator"}, "only a live run"),
    ],
)
def test_options_of_live_runs_that_make_no_sense_are_refused(options, said) -> None:
    with pytest.raises(ValueError, match=said):
        DepthOptions(**options)
