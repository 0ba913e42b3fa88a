"""The chain drafter as an engine builds it: timed, judged, planned."""

import json
import shutil
from pathlib import Path

import pytest
from flyball.inference.drafters import catalogue
from flyball.inference.drafters.catalogue import DrafterContext
from flyball.inference.drafters.chain import build
from flyball.inference.drafters.chain.loading import load_level
from flyball.inference.drafters.chain.planned import EVERY, KNOWN, PlannedChain
from flyball.inference.drafters.chain.timing import TargetTimes, profile
from flyball.inference.drafters.chain.tokens import common
from flyball.inference.drafters.drafter import Ask, Owner
from flyball.inference.models import family
from flyball.inference.models.prompts import prompts
from flyball.inference.models.tokenizer import load as load_tokenizer
from flyball.policies.chains.times import linear

DEPTH = 6


def context(**changed):
    target = str(family.path(family.TARGET))
    told = {"vocabulary": family.VOCABULARY, "depth": DEPTH, "requests": 4, "length": 512}
    return DrafterContext(**{**told, "target": target, "tokenizer": target, **changed})


def made():
    """A chain of the embedded models, whose times are given."""
    names = {family.DRAFT: 0.001, family.MIDDLE: 0.002}
    levels = [load_level(name, family.path(name), 4, 256) for name in names]
    times = {name: linear(call, call / 10) for name, call in names.items()}
    return PlannedChain(levels, times, "target", linear(0.01, 0.001), DEPTH)


@pytest.fixture(scope="module")
def served():
    """A chain that has drafted for real requests, whose tokens the target has then chosen."""
    drafter = made()
    target = load_level("target", family.path(family.TARGET), 4, 256)
    encode = load_tokenizer(family.path(family.TARGET)).encode
    texts = {f"r{i}": encode(p.text).ids[-60:] for i, p in enumerate(prompts("code", 3, 1))}
    for name, text in texts.items():
        drafter.begin(name, text, Owner())
    plans, right = [], []
    for _ in range(6 * EVERY):
        drafts = drafter.propose([Ask(name, DEPTH) for name in texts])
        plans.append(drafter.plan.models)
        whole = [text + draft for text, draft in zip(texts.values(), drafts, strict=True)]
        said = target.read(range(3), whole, [len(draft) + 1 for draft in drafts])
        for name, draft, own in zip(list(texts), drafts, said, strict=True):
            accepted = common(draft, own)
            right.append((len(draft), accepted))
            texts[name] = texts[name] + own[: accepted + 1]
            drafter.extend(name, own[: accepted + 1])
            if len(texts[name]) > 240:  # begun anew, so that there is always something to draft
                drafter.end(name)
                texts[name] = texts[name][:60]
                drafter.begin(name, texts[name], Owner())
    return drafter, plans, right


def test_all_chains_are_tried_and_then_known(served):
    drafter, plans, _ = served
    assert {("draft",), ("middle",), ("draft", "middle")} <= {*plans}
    for pair in (("draft", "target"), ("middle", "target"), ("draft", "middle")):
        assert drafter.acceptance.tried(pair) >= KNOWN


def test_acceptance_is_what_the_target_did(served):
    drafter, _, right = served
    tables = [drafter.acceptance.table((name, "target"))[:, 0] for name in ("draft", "middle")]
    share = sum(accepted > 0 for _, accepted in right) / len(right)
    low, high = min(t.min() for t in tables), max(t.max() for t in tables)
    assert low - 0.1 < share < high + 0.1
    assert sum(drafted for drafted, _ in right) > len(right)


def test_a_draft_of_which_less_was_verified_is_not_judged_further():
    drafter = made()
    text = list(range(20, 60))
    drafter.begin("r", text, Owner())
    for _ in range(8):
        (draft,) = drafter.propose([Ask("r", DEPTH)])
        drafter.extend("r", draft[:1])  # one emitted token, that agrees: nothing was rejected
    pairs = [pair for pair in drafter.acceptance.pairs() if pair[1] == "target"]
    assert pairs
    for pair in pairs:
        state = drafter.acceptance.state()
        tried, accepted = state["counts"][state["pairs"].index([*pair])]
        assert tried[:, 1:].sum() == 0
        assert accepted.sum() == tried.sum()


def test_profiled_times_grow_with_the_model():
    small, large = (
        profile(load_level(name, family.path(name), 2, 256), family.VOCABULARY, 0.5)
        for name in (family.DRAFT, family.TARGET)
    )
    assert 0.0 < small.seconds(1, 1) < large.seconds(1, 1)


def test_the_targets_times_are_the_guess_until_it_was_met():
    times = TargetTimes(linear(0.010, 0.001))
    assert times.times().seconds(4, 1) == pytest.approx(0.014)
    for _ in range(5):
        times.add(4, 1.2, 0.028)
    times.add(4, 1.0, 9.0)  # a pause
    found = times.times()
    assert found.seconds(4, 1) == pytest.approx(0.028, rel=0.01)
    # What was not met is as much slower than was guessed.
    assert found.seconds(4, 3) == pytest.approx(0.044, rel=0.01)
    assert found.seconds(1, 1) == pytest.approx(0.022, rel=0.01)


def test_without_models_of_its_own_another_target_is_refused(tmp_path):
    with pytest.raises(ValueError, match="FLYBALL_CHAIN"):
        build(context(target=str(tmp_path)))


def test_models_are_those_that_are_named(monkeypatch):
    monkeypatch.setenv("FLYBALL_CHAIN", str(family.path(family.MIDDLE)))
    drafter = catalogue.build(["chain"], context())["chain"]
    drafter.begin("r", list(range(20, 60)), Owner())
    drafter.propose([Ask("r", DEPTH)])
    assert drafter.plan.models == ("middle",)


def test_another_tokenizer_is_refused_naming_the_difference(monkeypatch, tmp_path: Path):
    folder = tmp_path / "other"
    shutil.copytree(family.path(family.DRAFT), folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    one, two = (next(t for t, i in vocabulary.items() if i == number) for number in (900, 901))
    vocabulary[one], vocabulary[two] = 901, 900
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    monkeypatch.setenv("FLYBALL_CHAIN", str(folder))
    with pytest.raises(ValueError, match="token 900 is"):
        catalogue.build(["chain"], context())


def test_too_little_memory_is_refused_with_the_sum(monkeypatch):
    monkeypatch.setenv("FLYBALL_CHAIN_MIB", "1")
    with pytest.raises(ValueError, match=r"draft .* \+ middle .* needs .* in all, and may take 1"):
        catalogue.build(["chain"], context())
