"""The suffix memory over time: sorted in the background, bounded, kept across restarts."""

import logging
import threading

import numpy as np
import pytest
from flyball.inference.drafters.drafter import Ask, Owner
from flyball.inference.drafters.suffix import Memory, SuffixDrafter
from flyball.inference.drafters.suffix.background import Background
from flyball.inference.drafters.suffix.saving import StoreError, load, store_path
from flyball.inference.drafters.suffix.store import Store

A = Owner("a", "s")


def text(number, size=200):
    return np.random.default_rng(number).integers(0, 30_000, size).tolist()


def remember(drafter, number, owner=A):
    drafter.begin("r", text(number), owner)
    drafter.end("r")


def knows(drafter, number, tenant="a"):
    """Whether it would go on as a remembered text does."""
    drafter.begin("probe", [40_000, *text(number)[50:70]], Owner(tenant, "s"))
    found = drafter.propose([Ask("probe", 4)])[0]
    drafter._requests.pop("probe")
    drafter.memory.release(tenant)
    return found == text(number)[70:74]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(Store, "FULL", 1000)


def test_what_is_full_is_sorted_in_the_background_and_known_throughout(small_parts):
    drafter = SuffixDrafter()
    for number in range(60):
        remember(drafter, number)
        assert knows(drafter, number)
        assert knows(drafter, number // 2)
        if number % 4 == 0:
            drafter.memory.drain()
    drafter.memory.drain()
    store = drafter.memory.acquire("a")
    assert sum(map(len, store.generations)) >= 50 * 200
    assert store.waiting == ()
    assert all(knows(drafter, number) for number in range(60))
    assert drafter.memory.dropped == 0
    drafter.close()


def test_proposals_do_not_wait_for_the_background(small_parts):
    drafter = SuffixDrafter()
    hold, held = threading.Event(), threading.Event()

    def job():
        held.set()
        hold.wait(30)
        return lambda: None

    drafter.memory._background.submit(job, lambda: None)
    assert held.wait(30)
    for number in range(60):  # far more than may wait
        remember(drafter, number)
        if not drafter.memory.dropped:
            assert knows(drafter, number)
    store = drafter.memory.acquire("a")
    assert len(store.waiting) <= Memory.WAITING
    assert drafter.memory.dropped > 0
    assert len(drafter.memory) < (Memory.WAITING + 2) * 1200
    hold.set()
    drafter.memory.drain()
    assert store.waiting == ()
    # What was given up may be learned again.
    lost = next(number for number in range(60) if not knows(drafter, number))
    remember(drafter, lost)
    assert knows(drafter, lost)
    drafter.close()


def test_memory_is_bounded_and_what_is_used_stays(small_parts):
    drafter = SuffixDrafter(Memory(tokens=5000))
    remember(drafter, 0)
    for number in range(1, 200):
        remember(drafter, number)
        drafter.begin("user", text(0)[:30], A)  # document 0 serves again and again
        (found,) = drafter.propose([Ask("user", 8)])
        drafter.extend("user", text(0)[30:40])
        assert found
        drafter._requests.pop("user")
        drafter.memory.release("a")
        drafter.memory.drain()
    assert len(drafter.memory) < 5000 + 2 * 1200
    assert knows(drafter, 0)
    assert knows(drafter, 199)
    assert not knows(drafter, 50)
    remember(drafter, 50)  # what was dropped may come again
    assert knows(drafter, 50)
    drafter.close()


def test_a_greedy_tenant_takes_nothing_from_a_small_one(small_parts):
    drafter = SuffixDrafter(Memory(tokens=8000))
    for number in range(6):
        remember(drafter, number, Owner("small", ""))
    for number in range(1000, 1100):
        remember(drafter, number, Owner("greedy", ""))
        drafter.memory.drain()
    assert all(knows(drafter, number, "small") for number in range(6))
    assert len(drafter.memory) < 8000 + 4 * 1200
    drafter.close()


def test_tenants_come_back_after_being_let_go(monkeypatch, tmp_path):
    monkeypatch.setattr(Memory, "TENANTS", 2)
    drafter = SuffixDrafter(Memory(folder=tmp_path, tokenizer="t"))
    for number in range(6):
        remember(drafter, number, Owner(f"tenant {number}", ""))
    drafter.memory.drain()
    assert len(drafter.memory._stores) <= 2
    drafter.memory.acquire("tenant 0")
    drafter.memory.drain()
    assert knows(drafter, 0, "tenant 0")
    assert not knows(drafter, 1, "tenant 0")
    drafter.close()


def test_stores_survive_a_restart_with_what_was_learned(tmp_path):
    drafter = SuffixDrafter(Memory(folder=tmp_path / "new", tokenizer="t"))
    for number in range(5):
        remember(drafter, number)
        assert knows(drafter, number)
        drafter.begin("judged", text(number)[:50], A)
        drafter.propose([Ask("judged", 8)])
        drafter.extend("judged", text(number)[50:59])
        drafter._requests.pop("judged")
    learned = drafter.memory.acquire("a").trust.chance.copy()
    drafter.close()
    again = SuffixDrafter(Memory(folder=tmp_path / "new", tokenizer="t"))
    store = again.memory.acquire("a")
    again.memory.drain()
    assert store.trust.chance.tolist() == learned.tolist()
    assert all(knows(again, number) for number in range(5))
    held = len(again.memory)
    remember(again, 1)  # known already, after the restart as well
    assert len(again.memory) <= held + 64
    again.close()


def _truncated(data):
    return data[: len(data) // 2]


def _flipped(data):
    at = len(data) - 100
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _emptied(data):
    return b""


def _overwritten(data):
    return b"nonsense" * 99


@pytest.mark.parametrize("damage", [_truncated, _flipped, _emptied, _overwritten])
def test_a_damaged_store_is_set_aside_and_said_so(damage, tmp_path, caplog):
    drafter = SuffixDrafter(Memory(folder=tmp_path, tokenizer="t"))
    remember(drafter, 1)
    drafter.close()
    path = store_path(tmp_path, "a")
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    check_set_aside(tmp_path, caplog, "t", damaged)


def test_a_store_of_another_tokenizer_is_set_aside(tmp_path, caplog):
    drafter = SuffixDrafter(Memory(folder=tmp_path, tokenizer="t"))
    remember(drafter, 1)
    drafter.close()
    check_set_aside(tmp_path, caplog, "other", store_path(tmp_path, "a").read_bytes())
    assert "tokenizer is 't', not 'other'" in caplog.text


def check_set_aside(folder, caplog, tokenizer, data):
    path = store_path(folder, "a")
    with caplog.at_level(logging.WARNING, "flyball"):
        drafter = SuffixDrafter(Memory(folder=folder, tokenizer=tokenizer))
        drafter.memory.acquire("a")
        drafter.memory.drain()
    assert "set aside" in caplog.text
    assert path.with_name(f"{path.name}.aside-1").read_bytes() == data
    assert len(drafter.memory) == 0
    remember(drafter, 2)
    drafter.close()
    assert len(load(path, "a", tokenizer).generations) == 1


def test_a_tenants_file_is_no_other_tenants(tmp_path):
    drafter = SuffixDrafter(Memory(folder=tmp_path, tokenizer="t"))
    remember(drafter, 1)
    drafter.close()
    assert store_path(tmp_path, "a").stem != "a"
    with pytest.raises(StoreError, match="tenant"):
        load(store_path(tmp_path, "a"), "b", "t")


def test_what_grew_is_saved_while_the_engine_runs(monkeypatch, tmp_path):
    """An engine may be ended at any time: what nobody closes is there all the same."""
    monkeypatch.setattr(Memory, "SAVED_IDLE", 0.0)
    monkeypatch.setattr(Memory, "REST", 0.0)
    ended = SuffixDrafter(Memory(folder=tmp_path))
    for number in range(3):
        remember(ended, number)
    ended.memory.drain()
    begun = SuffixDrafter(Memory(folder=tmp_path))
    begun.memory.acquire("a")
    begun.memory.drain()
    assert all(knows(begun, number) for number in range(3))
    for drafter in (ended, begun):
        drafter.close()


def test_a_store_is_not_saved_more_often_than_that_is_worth(monkeypatch, tmp_path):
    saved = []
    monkeypatch.setattr(
        "flyball.inference.drafters.suffix.memory.save", lambda path, *_: saved.append(path)
    )
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    drafter = SuffixDrafter(Memory(folder=tmp_path))
    drafter.begin("runs", text(99), A)  # so that the engine is never idle
    for number in range(25):
        clock[0] += 1.0
        remember(drafter, number)
        drafter.memory.drain()
    assert len(saved) == 25 // Memory.SAVED_EVERY
    drafter.end("runs")  # now it is
    drafter.memory.drain()
    assert len(saved) == 25 // Memory.SAVED_EVERY + 1
    drafter.close()


def test_a_folder_that_cannot_be_written_costs_only_the_saving(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    drafter = SuffixDrafter(Memory(folder=tmp_path / "file", tokenizer="t"))
    remember(drafter, 1)
    assert knows(drafter, 1)
    with caplog.at_level(logging.WARNING, "flyball"):
        drafter.close()
    assert "could not be saved" in caplog.text


def test_background_work_that_fails_is_given_up_and_logged(caplog):
    background, done = Background(), []

    def job():
        raise RuntimeError("broken")

    background.submit(job, lambda: done.append("otherwise"))
    background.submit(lambda: lambda: done.append("next"), lambda: None)
    background.drain()
    assert done == ["otherwise", "next"]
    assert background.failed == 1
    assert "broken" in caplog.text
    background.close()


def test_memories_of_nothing_are_refused():
    with pytest.raises(ValueError, match="at least 1 token"):
        Memory(tokens=0)


@pytest.fixture
def busy(monkeypatch):
    """Makes a memory's background wait, with room for two jobs; gives what ends that."""
    monkeypatch.setattr(Background, "ROOM", 2)

    def made(memory):
        hold, held = threading.Event(), threading.Event()

        def job():
            held.set()
            hold.wait(30)
            return lambda: None

        memory._background.submit(job, lambda: None)
        assert held.wait(30)
        return hold

    return made


def test_a_store_that_there_was_no_room_to_read_is_read_later_and_not_written_over(tmp_path, busy):
    earlier = SuffixDrafter(Memory(folder=tmp_path))
    remember(earlier, 1)
    earlier.close()
    begun = SuffixDrafter(Memory(folder=tmp_path))
    hold = busy(begun.memory)
    for tenant in ("x", "y"):  # the room there is
        begun.memory.acquire(tenant)
    remember(begun, 2)
    assert not knows(begun, 1)
    hold.set()
    begun.memory.drain()
    remember(begun, 3)  # asks again
    begun.memory.drain()
    assert all(knows(begun, number) for number in (1, 2, 3))
    begun.close()
    again = SuffixDrafter(Memory(folder=tmp_path))
    again.memory.acquire("a")
    again.memory.drain()
    assert all(knows(again, number) for number in (1, 2, 3))
    again.close()


def test_a_file_that_was_never_read_is_never_replaced(tmp_path, monkeypatch, caplog):
    earlier = SuffixDrafter(Memory(folder=tmp_path))
    remember(earlier, 1)
    earlier.close()
    kept = store_path(tmp_path, "a").read_bytes()

    def fails(*_):
        raise MemoryError

    monkeypatch.setattr("flyball.inference.drafters.suffix.memory.load_or_set_aside", fails)
    begun = SuffixDrafter(Memory(folder=tmp_path))
    remember(begun, 2)
    begun.close()
    assert store_path(tmp_path, "a").read_bytes() == kept
    assert "not saved" in caplog.text


def test_stores_that_cannot_be_let_go_yet_leave_nothing_waiting_for_ever(monkeypatch, busy):
    monkeypatch.setattr(Memory, "TENANTS", 1)
    drafter = SuffixDrafter()
    hold = busy(drafter.memory)
    for number in range(8):
        remember(drafter, number, Owner(str(number % 3), ""))
    hold.set()
    drafter.memory.drain()
    stores = drafter.memory._stores.values()
    assert all(store.waiting == () for store in stores)
    drafter.close()


@pytest.mark.parametrize("size", [20, 50, 64, 200])
def test_what_is_the_same_from_beginning_to_end_is_kept_once(size):
    drafter = SuffixDrafter()
    sizes = set()
    for number in range(5):
        drafter.begin("r", text(1, size), A)
        drafter.end("r")
        if number == 2:
            store = drafter.memory.acquire("a")
            store.generations = (store.newest.sorted(),)
            store.release(store.seal())
        sizes.add(len(drafter.memory))
    assert len(sizes) == 1
    drafter.close()
