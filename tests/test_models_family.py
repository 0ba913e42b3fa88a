"""Names, shapes and pairs: what is refused, and that it says why."""

import json

import pytest
import torch
from flyball.inference.models import family, hf
from flyball.inference.models.family import DRAFT, NAMES, SHAPES, TARGET, Shape
from flyball.inference.models.llama import Llama
from weights import write_weights

TINY = Shape(hidden=64, layers=1, heads=2, kv_heads=1, feed_forward=96)


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes a small model folder with the given tokens."""

    def make(name, tokens=("a", "b"), size=None):
        made = tmp_path / name
        made.mkdir()
        vocabulary = {token: number for number, token in enumerate(tokens)}
        model = {"type": "BPE", "vocab": vocabulary, "merges": []}
        (made / "tokenizer.json").write_text(json.dumps({"model": model, "added_tokens": []}))
        (made / "config.json").write_text(json.dumps({"vocab_size": size or len(tokens)}))
        write_weights(made)
        return made

    return make


def test_a_pair_on_one_tokenizer_is_accepted(folder):
    family.check_pair(folder("target"), folder("draft"))


def test_a_folder_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no model folder .*absent"):
        family.check_pair(folder("target"), tmp_path / "absent")


def test_vocabularies_of_different_sizes_are_refused_with_both_sizes(folder):
    with pytest.raises(ValueError, match=r"2 tokens.* has 3;.*target's tokenizer"):
        family.check_pair(folder("target"), folder("draft", "abc"))


def test_the_same_size_with_other_tokens_is_refused(folder):
    with pytest.raises(ValueError, match="different tokens"):
        family.check_pair(folder("target"), folder("draft", "ba"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_broken_folder_is_refused_with_the_file(folder, name, content):
    broken = folder("draft")
    (broken / name).unlink()
    if content is not None:
        (broken / name).write_text(content)
    with pytest.raises(ValueError, match=name):
        family.check_pair(folder("target"), broken)


def test_a_folder_without_weights_is_refused(folder):
    target, draft = folder("target"), folder("draft")
    (draft / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"draft has no weights, such as model\.safetensors"):
        family.check_pair(target, draft)
    (draft / "model.bin").write_bytes(b"weights in another form")
    family.check_pair(target, draft)
    (draft / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="is no safetensors file"):
        family.check_pair(target, draft)
    (draft / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="hold no weights"):
        family.check_pair(target, draft)


def test_shapes_count_their_parameters_right():
    for name in NAMES:
        with torch.device("meta"):
            model = Llama(SHAPES[name])
        counted = sum(parameter.numel() for parameter in model.parameters())
        assert counted == SHAPES[name].parameters


def test_the_family_has_the_sizes_it_promises():
    assert 25e6 <= SHAPES[TARGET].parameters <= 32e6
    assert 4e6 <= SHAPES["middle"].parameters <= 6e6
    assert 1e6 <= SHAPES[DRAFT].parameters <= 2e6
    assert all(SHAPES[TARGET].kv_heads % SHAPES[name].kv_heads == 0 for name in NAMES)


def test_parameters_are_counted_from_the_header(tmp_path):
    (tmp_path / "tok").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "tok" / name).write_text("{}")
    hf.save(Llama(TINY), tmp_path / "tok", tmp_path / "model")
    assert family.parameters(tmp_path / "model") == TINY.parameters


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, (5).to_bytes(8, "little") + b"{{{{{"])
def test_a_broken_weights_file_is_named(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        family.parameters(tmp_path)


def test_no_such_model_lists_the_ones_there_are():
    with pytest.raises(ValueError, match="target, middle, draft"):
        family.path("huge")


def test_a_family_that_was_never_trained_says_how_to_train_it(tmp_path, monkeypatch):
    monkeypatch.setattr(family, "WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="flyball models train"):
        family.path(TARGET)
