"""Sorted memories: every match of a context's end is found, and how long it is."""

from itertools import pairwise

import numpy as np
import pytest
from flyball.inference.drafters.suffix.generation import Generation, least_used, merged, without
from flyball.inference.drafters.suffix.keeping import RATIO, compact, evict, size
from flyball.inference.drafters.suffix.matches import Matches
from flyball.inference.drafters.suffix.ordering import MOST_PER_GENERATION
from flyball.inference.drafters.suffix.recent import Recent
from flyball.inference.drafters.suffix.store import Unsorted
from flyball.inference.drafters.suffix.tokens import BOUNDARY, LONGEST, SESSION, STORE
from hypothesis import given
from hypothesis import strategies as st

DOCUMENT = st.lists(st.integers(0, 3), min_size=1, max_size=60)
DOCUMENTS = st.lists(DOCUMENT, min_size=1, max_size=6)


def unsorted(documents: list[list[int]], first_session: int = 1) -> Unsorted:
    part = Unsorted()
    for number, document in enumerate(documents):
        part.add(np.array(document, np.uint32), first_session + number)
        part.hashes[1000 * first_session - 7 * number] = number
    return part


def generation(documents: list[list[int]], first_session: int = 1) -> Generation:
    return unsorted(documents, first_session).sorted()


def matches_of(
    part: Recent | Generation, context: list[int], session: int = 0, depth: int = 32
) -> list[tuple[list[int], int, int, int, int]]:
    """What followed, how long, source, memory, document."""
    matches = Matches()
    matches.clear(depth)
    part.find(np.array(context[-LONGEST:], np.uint32), session, 7, matches)
    found = []
    for row, about in zip(matches.ahead[: matches.count], matches.about, strict=False):
        ahead = row[:depth].tolist()
        if BOUNDARY in ahead:
            ahead = ahead[: ahead.index(BOUNDARY)]
        found.append((ahead, *about.tolist()))
    return found


def agreement(document: list[int], at: int, context: list[int]) -> int:
    length = 0
    while length < min(at, len(context)) and document[at - 1 - length] == context[-1 - length]:
        length += 1
    return min(length, LONGEST)


def all_matches(documents: list[list[int]], context: list[int]) -> dict[int, list[tuple[int, int]]]:
    """Length -> (document, position after the match)."""
    found: dict[int, list[tuple[int, int]]] = {}
    for number, document in enumerate(documents):
        for at in range(1, len(document)):
            found.setdefault(agreement(document, at, context), []).append((number, at))
    return found


def check_against_brute_force(
    part: Generation, documents: list[list[int]], context: list[int]
) -> None:
    right = all_matches(documents, context)
    longest = max(right, default=0)
    found = matches_of(part, context)
    if longest == 0:
        assert found == []
        return
    expected = sorted(right[longest])
    assert len(found) == min(len(expected), MOST_PER_GENERATION)
    assert {length for _, length, *_ in found} == {longest}
    continuations = [(number, tuple(documents[number][at : at + 32])) for number, at in expected]
    for ahead, _, _, memory, document in found:
        assert memory == 7
        assert (document, tuple(ahead)) in continuations
    if len(expected) <= MOST_PER_GENERATION:
        assert sorted((d, tuple(a)) for a, _, _, _, d in found) == sorted(continuations)


@given(DOCUMENTS, DOCUMENT)
def test_the_longest_matches_are_found_with_what_followed(documents, context):
    check_against_brute_force(generation(documents), documents, context)


@given(DOCUMENTS, DOCUMENTS, DOCUMENT)
def test_merged_generations_are_as_if_sorted_at_once(older, newer, context):
    both = merged(generation(older), generation(newer, 1 + len(older)))
    at_once = generation(older + newer)
    assert both.order.tolist() == at_once.order.tolist()
    assert both.tokens.tolist() == at_once.tokens.tolist()
    assert both.starts.tolist() == at_once.starts.tolist()
    assert both.sessions.tolist() == at_once.sessions.tolist()
    assert both.hashes.tolist() == sorted(both.hashes.tolist())
    documents_of = dict(zip(both.hashes.tolist(), both.hash_documents.tolist(), strict=True))
    assert documents_of[1000 * (1 + len(older))] == len(older)
    assert documents_of[1000] == 0
    check_against_brute_force(both, older + newer, context)


@given(DOCUMENTS, st.data(), DOCUMENT)
def test_what_is_left_is_as_if_the_rest_had_never_been(documents, data, context):
    drop = data.draw(st.lists(st.booleans(), min_size=len(documents), max_size=len(documents)))
    left = without(generation(documents), np.array(drop))
    kept = [document for document, dropped in zip(documents, drop, strict=True) if not dropped]
    assert left.tokens.tolist() == generation(kept).tokens.tolist()
    assert left.order.tolist() == generation(kept).order.tolist()
    assert left.hashes.tolist() == sorted(
        1000 - 7 * n for n, dropped in enumerate(drop) if not dropped
    )
    check_against_brute_force(left, kept, context)


def test_matches_longer_than_can_be_told_apart_are_found():
    text = list(range(100)) * 2
    found = matches_of(generation([text]), text[:100])
    assert [(ahead[:3], length) for ahead, length, *_ in found] == [([0, 1, 2], LONGEST)]


def test_matches_say_whether_they_are_of_the_same_session():
    part = generation([[1, 2, 3], [1, 2, 4]], first_session=5)
    assert {(a[0], source) for a, _, source, *_ in matches_of(part, [1, 2], session=6)} == {
        (3, STORE),
        (4, SESSION),
    }
    assert {source for _, _, source, *_ in matches_of(part, [1, 2], session=0)} == {STORE}


@given(DOCUMENTS, DOCUMENT)
def test_what_is_new_is_found_as_it_is(documents, context):
    part = unsorted(documents)
    right = all_matches(documents, context)
    found = matches_of(part, context)
    for ahead, length, _, _, number in found:
        places = [at for document, at in right[length] if document == number]
        assert ahead in [documents[number][at : at + 32] for at in places]
    assert bool(found) == (max(right, default=0) > 0)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12, unique=True), st.integers(1, 400))
def test_the_longest_of_what_is_new_is_found_while_there_are_few(unique, filler):
    # A passage that is there once, then so much else that the chains have to grow.
    passage = [100, *unique, 101, 7, 8, 9]
    part = Recent()
    part.add(np.array(passage, np.uint32), 1)
    rest = list(range(200, 200 + filler))
    for token in rest:
        part.extend(np.array([token], np.uint32))
    found = matches_of(part, [100, *unique, 101])
    assert found[0][:2] == ([7, 8, 9, *rest][:32], len(unique) + 2)


def test_drafts_see_only_as_far_ahead_as_they_go():
    (found, *_), *_ = matches_of(generation([[1, 2, 3, 4, 5]]), [1, 2], depth=2)
    assert found == [3, 4]


def test_generations_stay_few():
    kept: tuple[Generation, ...] = ()
    for number in range(60):
        kept = compact((generation([[number % 7] * 20], number + 1), *kept))
    assert size(kept) == 60 * 21
    assert sorted(n for g in kept for n in g.sessions.tolist()) == list(range(1, 61))
    assert all(len(b) >= RATIO * len(a) for a, b in pairwise(kept))


def test_the_oldest_generations_least_used_documents_go_first():
    old = generation([[1] * 10, [2] * 10, [3] * 10])
    old.uses[:] = [5, 0, 9]
    new = generation([[4] * 5], 10)
    kept = evict((new, old), 12)
    assert [g.sessions.tolist() for g in kept] == [[10], [3]]
    assert kept[1].hashes.tolist() == [1000 - 14]
    assert kept[1].knows(np.array([1000, 986, 2000], np.uint64)).tolist() == [False, True, False]
    assert kept[1].uses.tolist() == [4]  # old fame fades
    assert evict((new, old), 34) == ()


def test_of_documents_used_equally_the_oldest_go():
    assert least_used(generation([[1] * 10, [2] * 10]), 5).tolist() == [True, False]


@pytest.mark.parametrize("documents", [[[1]], [[1], [2]]])
def test_documents_of_one_token_match_nothing(documents):
    assert matches_of(generation(documents), [1]) == []
