"""Drafters on recorded traffic."""

from dataclasses import replace
from itertools import chain, islice, pairwise

import pytest
from flyball.benchmarks.drafters import memory, traffic
from flyball.benchmarks.drafters.arctic import ArcticDrafter, has_arctic
from flyball.benchmarks.drafters.replay import Tally, replay
from flyball.inference.drafters.drafter import Drafter
from flyball.inference.drafters.scoring import agreed
from flyball.inference.drafters.suffix import SuffixDrafter


class Knowing(Drafter):
    """Drafts what comes, with every third token wrong where it is told to err."""

    name = "knowing"

    def __init__(self, outputs, errs):
        self.outputs, self.errs = outputs, errs
        self.at = {}

    def begin(self, request, prompt, owner):
        self.at[request] = 0

    def extend(self, request, tokens):
        assert tokens == self.outputs[request][self.at[request] :][: len(tokens)]
        self.at[request] += len(tokens)

    def propose(self, asks):
        drafts = []
        for ask in asks:
            begin = self.at[ask.request]
            draft = list(self.outputs[ask.request][begin : begin + ask.depth])
            if self.errs and len(draft) > 2:
                draft[2] = -1
            drafts.append(draft)
        return drafts

    def end(self, request):
        assert self.at.pop(request) == len(self.outputs[request])


@pytest.fixture(scope="module")
def workload():
    return list(traffic.sessions(1, 12, 4))


def test_sessions_grow_turn_by_turn_and_repeat(workload):
    for session in workload:
        for one, following in pairwise(session):
            begun = one.prompt + one.output
            assert following.prompt[: len(begun)] == begun
    outputs = [tuple(request.output) for session in workload for request in session]
    assert len(set(outputs)) < 0.8 * len(outputs)
    assert list(traffic.sessions(1, 12, 4)) == workload
    others = {tuple(r.prompt) for s in traffic.sessions(2, 12, 4) for r in s}
    assert not others & {tuple(r.prompt) for s in workload for r in s}


def test_documents_do_not_end_and_differ():
    found = [tuple(document) for document in islice(traffic.documents(3), 300)]
    assert len(set(found)) > 290


@pytest.mark.parametrize(("errs", "share"), [(False, 1.0), (True, None)])
def test_a_replay_counts_as_a_greedy_engine_does(workload, errs, share):
    requests = list(chain.from_iterable(workload))
    outputs = {request.name: request.output for request in requests}
    tally = replay(Knowing(outputs, errs), requests, 4)
    tokens = sum(len(request.output) - 1 for request in requests)
    # A step emits what it accepts and one more, but for the end of a request.
    assert tally.accepted <= tokens <= tally.accepted + tally.steps
    assert tally.drafts == tally.steps
    if errs:
        assert tally.per_step() <= 2
        assert tally.precision() < 1
    else:
        assert tally.precision() == share
        assert tally.per_step() > 3


@pytest.mark.parametrize(
    ("drafted", "right"), [([], 0), ([1], 1), ([1, 2, 3, 4], 3), ([2, 2, 3], 0), ([1, 9, 3], 1)]
)
def test_a_draft_agrees_up_to_its_first_error(drafted, right):
    assert agreed(drafted, [1, 2, 3]) == right


def test_tallies_add_up():
    both = Tally(1, 2, 3, 4) + Tally(10, 20, 30, 40)
    assert both == Tally(11, 22, 33, 44)


def test_repeats_are_drafted_better_once_they_were_seen(workload):
    requests = list(chain.from_iterable(workload))
    drafter = SuffixDrafter()
    first = replay(drafter, requests, 8)
    second = replay(drafter, requests, 8)
    drafter.close()
    assert second.per_step() > 1.2 * first.per_step()


def test_the_memorys_cost_is_measured():
    found = memory.cost(0, tokens=60_000, drafts=300)
    assert 8 <= found["suffix_bytes_per_token"] <= 64
    assert 0 < found["suffix_draft_us_p50"] <= found["suffix_draft_us_p99"]


def test_the_comparison_says_what_it_compared():
    found = memory.compare(1, sessions=9, depth=8)
    for warmth in memory.WARMTHS:
        assert found[f"suffix_{warmth}_accepted_per_draft"] > 0
    assert found["suffix_online_accepted_per_step"] > found["suffix_cold_accepted_per_step"]
    assert ("suffix_accepted_over_arctic" in found) == has_arctic()


@pytest.mark.skipif(not has_arctic(), reason="arctic-inference needs a compiler; it is optional")
def test_arctic_drafts_as_it_does_in_vllm(workload):
    requests = list(chain.from_iterable(workload))
    drafter = ArcticDrafter()
    first = replay(drafter, requests, 24)
    again = [replace(request, name=f"again {request.name}") for request in requests]
    assert 0 < first.per_step() < replay(drafter, again, 24).per_step()
    assert 0 < first.precision() < 1
