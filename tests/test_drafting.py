"""What the worker makes of drafts: which rows get whose, and what the model runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from drafters import Scripted, constant
from flyball.inference.drafters.drafter import Owner
from flyball.inference.drafters.exchange import ASSIGNMENT, Assignment
from flyball.inference.drafters.pool import DrafterPool
from flyball.inference.drafters.scoring import Score
from flyball.inference.vllm.drafting import FAULT_LIMIT, Drafting
from flyball.inference.vllm.proposer import EmptyProposer

VOCABULARY, DEPTH = 50, 4
ROWS = ["m", "x", "n", "p"]  # of vLLM's own drafter, of ours, of nobody, with its prompt under way
NAMES = {"m": "draft", "x": "ours", "n": "none", "p": "ours"}
DISCARDED = np.array([False, False, False, True])


def new(
    request: str, constrained: bool = False, most: int | None = None, stops: tuple[int, ...] = ()
) -> SimpleNamespace:
    parameters = SimpleNamespace(
        structured_outputs=object() if constrained else None,
        max_tokens=most,
        stop_token_ids=list(stops[1:]),
        eos_token_id=stops[0] if stops else None,
    )
    return SimpleNamespace(
        req_id=request,
        prompt_token_ids=[1, 2],
        num_computed_tokens=0,
        sampling_params=parameters,
    )


def step(
    drafts: dict[str, int],
    tokens: dict[str, int] | None = None,
    begin: list[SimpleNamespace] | None = None,
    end: tuple[str, ...] = (),
    assigned: bool = True,
) -> Any:
    """As much of vLLM's ``SchedulerOutput`` as is looked at."""
    scheduled = tokens or {r: 1 + drafts.get(r, 0) for r in ROWS}
    output = SimpleNamespace(
        finished_req_ids={*end},
        scheduled_new_reqs=begin or [],
        scheduled_cached_reqs=SimpleNamespace(
            req_ids=[], num_computed_tokens=[], resumed_req_ids=set()
        ),
        num_scheduled_tokens=scheduled,
        total_num_scheduled_tokens=sum(scheduled.values()),
        scheduled_spec_decode_tokens={r: [-1] * n for r, n in drafts.items() if n},
    )
    if assigned:
        owners = {r.req_id: Owner() for r in begin or []}
        setattr(output, ASSIGNMENT, Assignment(NAMES, owners))
    return output


def drafting(
    drafter: Scripted, overlapping: bool = True, constrained: tuple[str, ...] = ()
) -> Drafting:
    pool = DrafterPool({"ours": drafter}, VOCABULARY, budget=0.0)
    made = Drafting(pool, VOCABULARY, DEPTH, overlapping, model=True)
    made.admit(step({}, dict.fromkeys(ROWS, 2), [new(r, r in constrained) for r in ROWS]))
    return made


def own(depth: int) -> torch.Tensor:
    return torch.full((len(ROWS), depth), 9)


def test_rows_get_the_drafts_of_their_drafter() -> None:
    alone, overlapping = drafting(constant(5, 6), overlapping=False), drafting(constant(5, 6))
    expected = [[9, 9, 9], [5, 6], [], [9, 9, 9]]
    assert alone.fill_in(ROWS, DISCARDED, own(3), 3) == expected
    rectangle = overlapping.fill_in(ROWS, DISCARDED, own(3), 3)
    assert isinstance(rectangle, torch.Tensor)
    assert rectangle.shape == (4, 3)
    assert rectangle[0].tolist() == [9, 9, 9]
    assert rectangle[1, :2].tolist() == [5, 6]
    assert ((rectangle >= 0) & (rectangle < VOCABULARY)).all()


def test_what_is_vllms_own_is_left_as_it_is() -> None:
    made, drafts = drafting(constant(5)), own(3)
    assert made.wants_model(ROWS, DISCARDED)
    assert not made.wants_model(ROWS, np.array([True, False, False, False]))
    rows = ["m"]
    assert made.fill_in(rows, np.array([False]), drafts[:1], 3) is not None
    assert made.fill_in(rows, np.array([False]), drafts, 3) is drafts


def test_drafts_that_do_not_exist_are_not_run() -> None:
    made = drafting(constant(5, 6))
    made.fill_in(ROWS, DISCARDED, own(4), 4)
    given = step({"m": 4, "x": 4, "n": 4}, begin=None)
    before = {r: [*t] for r, t in given.scheduled_spec_decode_tokens.items()}
    cut = made.admit(given)
    assert cut.scheduled_spec_decode_tokens == {"m": [-1] * 4, "x": [-1] * 2}
    assert cut.num_scheduled_tokens == {"m": 5, "x": 3, "n": 1, "p": 1}
    assert cut.total_num_scheduled_tokens == 10
    # What was given is the scheduler's, too.
    assert given.scheduled_spec_decode_tokens == before
    assert given.total_num_scheduled_tokens == 16
    states = {r: SimpleNamespace(prev_num_draft_len=-1) for r in ROWS}
    made.restore(states)
    assert [states[r].prev_num_draft_len for r in ROWS] == [-1, 4, 4, -1]
    assert made.tell().verified == {"m": ("draft", 4), "x": ("ours", 2), "n": ("none", 0)}


def test_a_row_that_was_given_less_than_was_drafted_stays() -> None:
    made = drafting(constant(5, 6, 7))
    made.fill_in(ROWS, DISCARDED, own(4), 4)
    given = step({"m": 1, "x": 1})
    assert made.admit(given) is given
    assert made.tell().verified == {"m": ("draft", 1), "x": ("ours", 1), "n": ("none", 0)}


def test_a_row_that_a_grammar_constrains_is_never_cut() -> None:
    made = drafting(constant(5), constrained=("x",))
    made.fill_in(ROWS, DISCARDED, own(3), 3)
    given = step({"m": 3, "x": 3})
    assert made.admit(given) is given
    assert made.tell().verified["x"] == ("ours", 1)


def test_rows_that_did_not_run_have_no_drafts_where_steps_overlap() -> None:
    made = drafting(constant(5))
    made.fill_in(["m"], np.array([False]), own(3)[:1], 3)
    cut = made.admit(step({"m": 3, "x": 3}))
    assert cut.scheduled_spec_decode_tokens == {"m": [-1] * 3}


def test_rows_that_did_not_run_keep_theirs_where_steps_do_not_overlap() -> None:
    made = drafting(constant(5, 6), overlapping=False)
    made.fill_in(ROWS, DISCARDED, own(3), 3)
    made.admit(step({"m": 3}, {"m": 4}))
    made.fill_in(["m"], np.array([False]), own(2)[:1], 2)
    made.tell()
    made.admit(step({"m": 2, "x": 2}, {"m": 3, "x": 3}))
    assert made.tell().verified == {"m": ("draft", 2), "x": ("ours", 2)}


@pytest.mark.parametrize("overlapping", [True, False])
def test_vllms_drafter_need_not_have_run(overlapping: bool) -> None:
    made = drafting(constant(5), overlapping)
    drafts = made.fill_in(ROWS[1:3], DISCARDED[1:3], torch.empty((2, 0), dtype=torch.int64), 3)
    if overlapping:
        assert isinstance(drafts, torch.Tensor)
        assert drafts.shape == (2, 3)
        assert drafts[0, 0] == 5
    else:
        assert drafts == [[5], []]


def test_an_engine_without_a_draft_model_drafts_by_lists() -> None:
    made = drafting(constant(5), overlapping=False)
    empty = EmptyProposer(None).propose([[1], [2]])
    assert made.fill_in(["x", "n"], DISCARDED[:2], empty, 3) == [[5], []]


def test_drafters_are_told_what_was_sampled_before_they_draft() -> None:
    drafter = constant(5)
    made = drafting(drafter)
    # Rejected drafts are no tokens, and what a prompt's part samples is not kept.
    made.emitted.sampled(ROWS, DISCARDED, torch.tensor([[3, -1], [3, 4], [VOCABULARY, 1], [8, 8]]))
    assert drafter.contexts["x"] == [1, 2]
    made.fill_in(ROWS, DISCARDED, own(3), 3)
    assert drafter.contexts == {"m": [1, 2, 3], "x": [1, 2, 3, 4], "n": [1, 2, 1], "p": [1, 2]}
    made.admit(step({}, {"m": 1}, end=("x",)))
    assert "x" not in drafter.contexts


def test_drafts_that_nobody_used_are_told_of() -> None:
    pool = DrafterPool({"ours": constant(5, 6)}, VOCABULARY, budget=10.0)
    made = Drafting(pool, VOCABULARY, 2, True, model=True)
    made.admit(step({}, {"m": 2}, [new("m")]))
    made.fill_in(["m"], np.array([False]), own(2)[:1], 2)
    made.emitted.sampled(["m"], np.array([False]), torch.tensor([[5, 1]]))
    made.fill_in(["m"], np.array([False]), own(2)[:1], 2)
    assert made.tell().scores == [Score("ours", "m", 2, 1, 2)]


def test_what_the_scheduler_says_nothing_about_is_drafted_by_vllm() -> None:
    made = drafting(constant(5))
    made.admit(step({}, assigned=False))
    drafts = own(3)
    assert made.fill_in(ROWS, DISCARDED, drafts, 3) is drafts


def test_after_faults_everything_is_as_vllm_has_it() -> None:
    made = drafting(constant(5))
    made.fill_in(ROWS, DISCARDED, own(3), 3)
    for count in range(1, FAULT_LIMIT + 1):
        made.fault(RuntimeError("x"))
        assert made.retired is (count == FAULT_LIMIT)
        given = step({"m": 3, "x": 3, "n": 3})
        assert made.admit(given) is given
        assert made.as_scheduled(own(0), 3).tolist() == [[0, 0, 0]] * 4
        states = {r: SimpleNamespace(prev_num_draft_len=7) for r in ROWS}
        made.restore(states)
        assert {s.prev_num_draft_len for s in states.values()} == {7}


@pytest.mark.parametrize(
    ("most", "stops", "emitted"),
    [
        (None, (), [3, 4, 5, 6, 7]),
        (3, (), [3, 4, 5]),
        (4, (5,), [3, 4, 5]),
        (None, (9, 6), [3, 4, 5, 6]),
        (2, (4,), [3, 4]),
        (9, (3,), [3]),
    ],
)
def test_what_is_sampled_after_an_output_has_ended_is_not_drafted_from(
    most: int | None, stops: tuple[int, ...], emitted: list[int]
) -> None:
    drafter = constant(5)
    made = drafting(drafter)
    made.admit(step({}, {"m": 2}, [new("m", most=most, stops=stops)]))
    for tokens in ([3, 4], [5, 6], [7, -1]):
        made.emitted.sampled(["m"], np.array([False]), torch.tensor([tokens]))
    made.fill_in(["m"], np.array([False]), own(2)[:1], 2)
    assert drafter.contexts["m"] == [1, 2, *emitted]
    assert [*made.emitted.context("m")] == [1, 2, *emitted]
