"""Loading a chain: the embedded family, and what is refused."""

import json

import pytest
import torch
from flyball.inference.drafters.chain.loading import load_chain
from flyball.inference.drafters.drafter import Ask, Owner
from flyball.inference.models import family
from flyball.policies.chains.plan import Plan

FOLDERS = {name: family.path(name) for name in family.DRAFTERS}


def test_the_embedded_family_drafts_as_its_middle_model_would():
    made = load_chain(family.path("target"), FOLDERS, slots=2, capacity=256)
    assert list(made._levels) == ["draft", "middle"]
    made.use(Plan(("draft", "middle"), 3, (2,)))
    text = list(range(20, 60))
    made.begin("r", text, Owner())
    [draft] = made.propose([Ask("r", 8)])
    model = made._levels["middle"].model
    with torch.inference_mode():
        for token in draft:
            assert model(torch.tensor([text])).logits[0, -1].argmax().item() == token
            text.append(token)


def test_a_chain_that_needs_too_much_memory_is_refused_with_the_sum():
    with pytest.raises(
        ValueError, match=r"draft .* \+ middle .* needs .* MiB in all, and may take 1\.0 MiB"
    ):
        load_chain(family.path("target"), FOLDERS, slots=2, capacity=256, memory=2**20)


def test_a_model_of_another_tokenizer_is_refused_naming_the_difference(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for file in FOLDERS["draft"].iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[300:302]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ValueError, match=r"token 30[01] is") as refused:
        load_chain(family.path("target"), {"other": other}, slots=1, capacity=64)
    assert repr(first) in str(refused.value)


def test_a_model_that_reads_less_than_the_capacity_is_refused():
    with pytest.raises(ValueError, match="at most 2048 tokens, not 4096"):
        load_chain(family.path("target"), FOLDERS, slots=1, capacity=4096)
