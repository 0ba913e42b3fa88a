"""The corpus, its split, and the prompts made from what is held out."""

import pytest
from flyball.inference.models import corpus
from flyball.inference.models.prompts import prompts


def test_nothing_is_on_both_sides_of_the_split():
    documents = [*corpus.code(), *corpus.prose()]
    kept = {document.name for document in documents if not document.held_out}
    held = {document.name for document in documents if document.held_out}
    assert kept
    assert held
    assert not kept & held


def test_about_a_twentieth_is_held_out():
    held = sum(corpus.is_held_out(f"name {number}") for number in range(20_000))
    assert 900 < held < 1100


def test_no_held_out_module_occurs_in_training_under_another_name():
    held = {document.text for document in corpus.code() if document.held_out}
    assert not any(document.text in held for document in corpus.code() if not document.held_out)


def test_no_held_out_paragraph_occurs_in_training_under_another_name():
    known = {
        paragraph.strip()
        for document in corpus.prose()
        if not document.held_out
        for paragraph in document.text.split("\n\n")
    }
    held = [document for document in corpus.prose() if document.held_out]
    paragraphs = [text for document in held for text in document.text.split("\n\n")]
    assert len(paragraphs) > 100
    assert not any(text.strip() in known for text in paragraphs if len(text) >= 80)


def test_transcripts_of_the_two_sides_are_disjoint():
    kept = {document.text for document in corpus.tool_calls(0, 1000)}
    held = {document.text for document in corpus.tool_calls(0, 1000, held_out=True)}
    assert len(kept) + len(held) == 1000
    assert len(held) > 20
    assert not kept & held


def test_transcripts_are_reproducible_and_come_in_both_styles():
    first, again = list(corpus.tool_calls(5, 40)), list(corpus.tool_calls(5, 40))
    assert first == again
    assert {"Thought: " in document.text for document in first} == {True, False}


def test_no_tests_and_no_foreign_packages_in_the_code():
    names = [document.name for document in corpus.code()]
    assert "asyncio/queues.py" in names
    foreign = {"test", "tests", "site-packages", "encodings"}
    assert not any(foreign & set(name.split("/")) for name in names)


def test_prose_of_a_held_out_module_is_held_out_with_it():
    code = {document.name: document.held_out for document in corpus.code()}
    shared = [document for document in corpus.prose() if document.name in code]
    assert shared
    assert all(document.held_out == code[document.name] for document in shared)


@pytest.mark.parametrize("content_class", corpus.CLASSES)
def test_prompts_are_reproducible_distinct_and_of_useful_length(content_class):
    found = prompts(content_class, 30, seed=4)
    assert found == prompts(content_class, 30, seed=4)
    assert found[:10] == prompts(content_class, 10, seed=4)
    assert found != prompts(content_class, 30, seed=5)
    assert len(set(found)) == 30
    assert all(one.content_class == content_class for one in found)
    assert all(300 <= len(one.text) <= 1900 for one in found)


def test_code_prompts_come_from_held_out_modules_alone():
    held = [document.text for document in corpus.code() if document.held_out]
    for one in prompts("code", 20, seed=1):
        assert any(one.text in text for text in held)


def test_tool_prompts_end_where_the_assistant_writes():
    assert all(one.text.endswith("<|assistant|>") for one in prompts("tool_calls", 20, seed=1))


@pytest.mark.parametrize(("content_class", "n"), [("poetry", 1), ("code", -1)])
def test_prompts_of_no_class_or_a_negative_number_are_refused(content_class, n):
    with pytest.raises(ValueError, match=r"content class|negative"):
        prompts(content_class, n, seed=0)
