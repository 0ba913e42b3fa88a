"""A model runner that is extended: what it does more, and what it does when that fails."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from flyball.inference.drafters.exchange import DRAFTED, Costs
from flyball.inference.vllm.draft_cache import PATIENCE
from flyball.inference.vllm.drafting import FAULT_LIMIT
from flyball.inference.vllm.proposer import PROPOSER
from flyball.inference.vllm.runner import extend
from test_drafting import new, step


def config(**changes: Any) -> SimpleNamespace:
    """As much of vLLM's configuration as is looked at."""
    values = {
        "speculative_config": SimpleNamespace(
            model="draft",
            num_speculative_tokens=4,
            uses_draft_model=lambda: True,
            disable_padded_drafter_batch=False,
        ),
        "parallel_config": SimpleNamespace(world_size=1),
        "use_v2_model_runner": False,
        "kv_transfer_config": None,
        "model_config": SimpleNamespace(
            get_vocab_size=lambda: 50,
            max_model_len=64,
            model="target",
            tokenizer="target",
            is_multimodal_model=False,
        ),
        "scheduler_config": SimpleNamespace(max_num_seqs=4, async_scheduling=False),
    }
    return SimpleNamespace(**values | changes)


class Runner:
    """Runs steps as vLLM's runner does, of two requests, and drafts nines."""

    def __init__(self) -> None:
        self.requests: dict[str, Any] = {}
        self.input_batch = SimpleNamespace(
            req_ids=["a", "b"], num_computed_tokens_cpu=np.array([2, 2])
        )
        self.discard_request_mask = SimpleNamespace(np=np.array([False, False]))
        self.valid_sampled_token_count_event = None
        self.device = torch.device("cpu")
        self.passes: list[int] = []  # depth of each pass of the draft model

    def execute_model(self, output: Any) -> None:
        self.output = output
        self._update_states(output)

    def _update_states(self, output: Any) -> None: ...

    def sample_tokens(self) -> Any:
        self._sample()
        self.drafts = self.propose_draft_token_ids(self.output, torch.tensor([[3], [3]]))
        return SimpleNamespace(req_ids=["a", "b"])

    def _sample(self) -> Any:
        return SimpleNamespace(sampled_token_ids=torch.tensor([[3], [3]]))

    def propose_draft_token_ids(self, output: Any, sampled: Any) -> Any:
        self.passes.append(output.num_spec_tokens_to_schedule)
        return torch.full((len(sampled), output.num_spec_tokens_to_schedule), 9)


def run(
    runner: Runner, drafters: dict[str, str], begin: bool = False, costs: Costs | None = None
) -> Any:
    """One step; what its outcome tells."""
    output = step({}, {"a": 1, "b": 1}, [new("a"), new("b")] if begin else None)
    output.flyball_assignment.drafters = drafters
    output.flyball_assignment.costs = costs or Costs()
    output.num_spec_tokens_to_schedule = 2
    runner.execute_model(output)
    return getattr(runner.sample_tokens(), DRAFTED, None)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("FLYBALL_DRAFTERS", "draft,ngram")
    made = Runner()
    assert extend(made, config()) is not None
    return made


def test_rows_get_drafts_of_their_own_and_the_outcome_tells(runner: Runner) -> None:
    run(runner, {"a": "draft", "b": "ngram"}, begin=True)
    assert runner.drafts == [[9, 9], []]
    run(runner, {"a": "draft", "b": "ngram"})
    told = run(runner, {"a": "draft", "b": "ngram"})  # by now the context repeats itself
    assert runner.drafts == [[9, 9], [3]]
    assert told.verified == {"a": ("draft", 0), "b": ("ngram", 0)}
    assert told.states["ngram"].asked


def test_the_draft_model_runs_only_as_far_as_it_is_wanted(runner: Runner) -> None:
    nobody = {"a": "none", "b": "ngram"}
    run(runner, {"a": "draft", "b": "none"}, begin=True)
    for _ in range(6):
        run(runner, nobody)
    # It reads on for a while, and is then left out.
    assert runner.passes == [2] + [0] * PATIENCE


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize(("cost", "passes"), [(0.0, 2), (0.4, 1), (2.0, 0)])
def test_for_the_hybrid_the_model_makes_as_many_passes_as_pay(
    monkeypatch: pytest.MonkeyPatch, cost: float, passes: int, overlapping: bool
) -> None:
    monkeypatch.setenv("FLYBALL_DRAFTERS", "draft,suffix,suffix+draft")
    runner = Runner()
    scheduling = SimpleNamespace(max_num_seqs=4, async_scheduling=overlapping)
    assert extend(runner, config(scheduler_config=scheduling)) is not None
    both = {"a": "suffix+draft", "b": "suffix+draft"}
    # By what is expected of it at first, a second pass adds .36 tokens per request and step.
    told = run(runner, both, True, Costs(cost * np.arange(9.0)))
    assert runner.passes == [passes]
    drafts = runner.drafts if isinstance(runner.drafts, list) else runner.drafts.tolist()
    assert drafts == [[9] * passes + [0] * (2 - passes if overlapping else 0)] * 2
    assert (told.passes, told.modelled) == (max(passes, 1), 2 if passes else 0)
    # Who asks for the model has it in any case.
    run(runner, both | {"b": "draft"}, costs=Costs(2.0 * np.arange(9.0)))
    assert runner.passes[-1] == 2


def test_a_fault_of_ours_leaves_the_step_to_vllm(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drafting = runner.drafting  # type: ignore[attr-defined]

    def fails(*_: object) -> None:
        raise RuntimeError("of ours")

    run(runner, {"a": "draft", "b": "ngram"}, begin=True)
    monkeypatch.setattr(drafting, "fill_in", fails)
    with caplog.at_level(logging.ERROR, "flyball"):
        for _ in range(FAULT_LIMIT):
            run(runner, {"a": "draft", "b": "ngram"})
            assert runner.drafts.tolist() == [[9, 9], [9, 9]]
    assert drafting.retired
    assert "of ours" in caplog.text
    assert run(runner, {"a": "none", "b": "none"}) is None
    assert runner.drafts.tolist() == [[9, 9], [9, 9]]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"speculative_config": None}, "without --speculative-config"),
        ({"parallel_config": SimpleNamespace(world_size=2)}, "one rank"),
        ({"use_v2_model_runner": True}, "VLLM_USE_V2_MODEL_RUNNER=0"),
    ],
    ids=["no speculation", "ranks", "V2"],
)
def test_where_there_can_be_no_drafters_vllm_drafts_as_ever(
    changes: dict[str, Any],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("FLYBALL_DRAFTERS", "ngram")
    runner = Runner()
    with caplog.at_level(logging.WARNING, "flyball"):
        assert extend(runner, config(**changes)) is None
    assert says in caplog.text
    assert type(runner) is Runner


def test_without_names_nothing_is_extended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYBALL_DRAFTERS", raising=False)
    assert extend(Runner(), config()) is None


def test_a_draft_model_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYBALL_DRAFTERS", "draft")
    empty = config()
    empty.speculative_config.model = PROPOSER
    with pytest.raises(ValueError, match="has no draft model"):
        extend(Runner(), empty)
