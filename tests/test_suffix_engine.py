"""The suffix memory as an engine builds it."""

import logging

import pytest
from flyball.inference.drafters import catalogue
from flyball.inference.drafters.catalogue import DrafterContext
from flyball.inference.drafters.drafter import Ask, Owner
from flyball.inference.models import family

TEXT = list(range(100, 160))


def build(**changed):
    target = str(family.path(family.TARGET))
    told = {"vocabulary": 4096, "depth": 6, "requests": 4, "length": 512}
    context = DrafterContext(**{**told, "target": target, "tokenizer": target, **changed})
    return catalogue.build(["suffix"], context)["suffix"]


def drafted(drafter, tenant):
    """What is drafted after the text's first half."""
    drafter.begin("r", TEXT[:30], Owner(tenant))
    (draft,) = drafter.propose([Ask("r", 6)])
    drafter.extend("r", TEXT[30:])
    drafter.end("r")
    return draft


def test_what_was_remembered_is_there_after_a_restart(monkeypatch, tmp_path):
    monkeypatch.setenv("FLYBALL_SUFFIX_STORE", str(tmp_path / "deep" / "store"))
    first = build()
    assert drafted(first, "a") == []
    assert drafted(first, "b") == []  # the same prompt, but another's
    first.close()
    second = build()
    second.memory.acquire("a")
    second.memory.drain()
    assert drafted(second, "a") == TEXT[30:36]
    second.close()


def test_a_store_of_another_tokenizer_is_set_aside(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("FLYBALL_SUFFIX_STORE", str(tmp_path))
    first = build()
    drafted(first, "a")
    first.close()
    other = build(tokenizer="somebody/else")
    with caplog.at_level(logging.WARNING, "flyball"):
        other.memory.acquire("a")
        other.memory.drain()
    assert drafted(other, "a") == []
    assert "its tokenizer is" in caplog.text
    other.close()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("TOKENS", "0", "whole number, 1 or more"),
        ("THRESHOLD", "1.5", "above 0, at most 1"),
        ("STORE", __file__, "must be a folder"),
    ],
)
def test_settings_that_make_no_sense_are_refused(monkeypatch, name, value, why):
    monkeypatch.setenv(f"FLYBALL_SUFFIX_{name}", value)
    with pytest.raises(ValueError, match=f"FLYBALL_SUFFIX_{name}=.*{why}"):
        build()


def test_settings_are_followed(monkeypatch):
    monkeypatch.setenv("FLYBALL_SUFFIX_THRESHOLD", "0.4")
    drafter = build()
    assert drafter.threshold == 0.4
    drafter.close()
