"""What ``flyball bench drafters`` makes of what it measured live."""

import msgspec
import pytest
from flyball.benchmarks.drafters.arms import LEARNED_ARM, OFF, SESSIONS, arms, session_arms
from flyball.benchmarks.drafters.figures import best, figures, per_token, ratio, table
from flyball.benchmarks.drafters.options import DraftersOptions
from flyball.benchmarks.drafters.record import Record, RecordError, Setup, Turned, Visit
from flyball.benchmarks.drafters.record import load_record as load
from flyball.benchmarks.result import check, result

PHASES = ["4 x code", "4 x prose", SESSIONS]
SETUP = Setup("target", "draft", 8, 0, False, PHASES, {}, {})


def turn(arm, per_token, emitted=100):
    return Turned(arm, per_token * emitted / 4, per_token * emitted, emitted, 2 * emitted, 3, 0)


def visit(number, phase, slow=1.0, **seconds):
    """Off takes 10 ms per token, the others as said, or 9."""
    known = session_arms(8) if phase == SESSIONS else arms(8)
    usual = {OFF.name: 0.010, **seconds}
    turns = [turn(arm.name, slow * usual.get(arm.name.replace(" ", "_"), 0.009)) for arm in known]
    return Visit(number, phase, turns)


@pytest.fixture
def record():
    """The learned choice is as good as the best in code, and worse in prose."""
    visits = []
    for number in range(3):
        slow = 1.0 + number  # what else the machine does falls on all arms of a visit
        visits += [
            visit(number, "4 x code", slow, draft_3=0.005, suffix=0.008, learned=0.005),
            visit(number, "4 x prose", slow, draft_3=0.012, suffix=0.0101, learned=0.010),
            visit(number, SESSIONS, slow, suffix=0.004, learned=0.004),
        ]
    return Record(SETUP, visits)


def test_figures_are_ratios_of_what_was_measured_side_by_side(record):
    found = figures(record)
    assert found["suffix_prose_over_off"] == pytest.approx(0.010 / 0.0101)
    assert found["suffix_tool_calls_over_off"] == pytest.approx(2.5)
    assert found["code_vs_best_single"] == pytest.approx(1.0)
    assert found["prose_vs_best_single"] == pytest.approx(0.9)
    assert found["worst_class_vs_best_single"] == found["prose_vs_best_single"]
    # Over the mix the best single one is the draft model at depth 3.
    assert found["learned_over_best_single"] == pytest.approx((1.0 * 1.2) ** 0.5)
    assert found["draft_3_over_off_low"] <= found["draft_3_over_off"]
    assert found["sessions_vs_best_single"] == pytest.approx(1.0)
    assert (found["requests"], found["failed"]) == (
        3 * sum(map(len, (arms(8), arms(8), session_arms(8)))) * 3,
        0,
    )
    check(result("drafters", 0, table(record), found))


def test_the_best_single_drafter_is_neither_off_nor_the_learned_choice(record):
    prose = [v for v in record.visits if v.phase == "4 x prose"]
    fast = [visit(0, "4 x prose", off=0.001, learned=0.001, suffix=0.002)]
    assert best(fast, arms(8)) == "suffix"
    assert best(prose, arms(8)) not in (OFF.name, LEARNED_ARM.name, "draft 3", "suffix")


def test_a_visit_in_which_an_arm_emitted_nothing_does_not_count(record):
    empty = Visit(3, "4 x code", [turn("off", 0.01), turn("suffix", 0.01, emitted=0)])
    assert per_token(empty, "suffix") is None
    assert ratio([empty], "suffix", "off", 0) is None
    both = [*record.visits[:1], empty]
    assert ratio(both, "suffix", "off", 0).value == pytest.approx(1.25)


def test_figures_of_parts_without_an_engine_are_among_them():
    record = Record(SETUP, offline={"chains": {"chain_prediction_error": 0.05}})
    assert figures(record)["chain_prediction_error"] == 0.05


def test_a_run_goes_on_where_it_ended(record, tmp_path):
    del record.visits[-1]
    record.save(tmp_path / "record.json")
    found = load(tmp_path / "record.json", SETUP)
    assert [found.left(number) for number in range(4)] == [[], [], [SESSIONS], PHASES]
    assert found.visits == record.visits


def test_another_setup_or_file_is_refused(record, tmp_path):
    file = tmp_path / "record.json"
    record.save(file)
    with pytest.raises(RecordError, match="k_max 8 then, 6 now"):
        load(file, msgspec.structs.replace(SETUP, k_max=6))
    record.visits.append(Visit(0, "9 x poems", []))
    record.save(file)
    with pytest.raises(RecordError, match="no phase '9 x poems'"):
        load(file, SETUP)
    file.write_text("{}")
    with pytest.raises(RecordError, match="is no record"):
        load(file, SETUP)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="rounds"):
        DraftersOptions(rounds=0)
    with pytest.raises(ValueError, match="cold"):
        DraftersOptions(cold=-1.0)
    assert DraftersOptions(quick=True).sized_rounds == 1
