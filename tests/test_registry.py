import logging

import numpy as np
import pytest
from factories import COEFFICIENTS, World
from flyball.controller.registry import Registry, RegistryError
from flyball.policies.snapshot import Snapshot, SnapshotError, analytic


def snapshot(number, epsilon=0.1):
    return analytic(number, 6, World().prices, np.array(COEFFICIENTS, np.float32), epsilon)


def filled(folder, count, **options):
    registry = Registry(folder, load=Snapshot.load, **options)
    for number in range(1, count + 1):
        registry.add(snapshot(number))
    return registry


def test_numbers_grow_and_the_newest_is_current(tmp_path):
    registry = filled(tmp_path, 3)
    assert registry.numbers == [1, 2, 3]
    assert registry.current.meta.number == 3
    assert registry.next_number == 4
    assert (tmp_path / "00000003.safetensors").exists()


def test_numbers_and_the_current_one_continue_after_a_restart(tmp_path):
    filled(tmp_path, 3).promote(2)
    registry = Registry(tmp_path, load=Snapshot.load)
    assert registry.current.meta.number == 2
    assert registry.next_number == 4


def test_numbers_continue_even_if_files_are_gone(tmp_path):
    registry = Registry(tmp_path, load=Snapshot.load)
    registry.reserve(41)
    assert registry.next_number == 42


def test_a_number_out_of_order_is_refused(tmp_path):
    with pytest.raises(ValueError, match="next snapshot is number 1"):
        Registry(tmp_path, load=Snapshot.load).add(snapshot(5))


def test_an_unknown_number_is_refused_with_those_there_are(tmp_path):
    registry = filled(tmp_path, 2)
    with pytest.raises(RegistryError, match="no snapshot 9; there are 1, 2") as caught:
        registry.get(9)
    assert str(caught.value) == "no snapshot 9; there are 1, 2"
    assert isinstance(caught.value, KeyError)


def test_an_empty_registry_says_so(tmp_path):
    with pytest.raises(RegistryError, match="there are none yet"):
        Registry(tmp_path, load=Snapshot.load).promote(1)


def test_old_snapshots_go_except_every_nth_and_the_current_one(tmp_path):
    registry = filled(tmp_path, 8, keep=4, every=5)
    assert registry.numbers == [5, 6, 7, 8]
    registry.promote(6)
    registry.keep = 1
    registry._prune()
    assert registry.numbers == [5, 6, 8]
    assert sorted(int(p.stem) for p in tmp_path.glob("*.safetensors")) == [5, 6, 8]
    assert registry.get(6).meta.number == 6


def test_a_damaged_current_one_gives_way_to_the_newest_good_one(tmp_path, caplog):
    filled(tmp_path, 3)
    (tmp_path / "00000003.safetensors").write_bytes(b"nonsense")
    with caplog.at_level(logging.ERROR):
        registry = Registry(tmp_path, load=Snapshot.load)
    assert registry.current.meta.number == 2
    assert registry.next_number == 4
    assert "snapshot 3 cannot be used" in caplog.text
    assert "; snapshot 2 is in force" in caplog.text
    with pytest.raises(SnapshotError):
        registry.promote(3)
    assert registry.current.meta.number == 2


def test_many_damaged_ones_are_said_in_one_line(tmp_path, caplog):
    filled(tmp_path, 5)
    for number in range(1, 6):
        (tmp_path / f"{number:08d}.safetensors").write_bytes(b"nonsense")
    with caplog.at_level(logging.ERROR):
        assert Registry(tmp_path, load=Snapshot.load).current is None
    (record,) = caplog.records
    assert "snapshot 5 cannot be used" in record.getMessage()
    assert record.getMessage().endswith("(and 4 more); none is in force")


@pytest.mark.parametrize("pointer", [b"", b"seven", b"\xff\xfe", b"99"])
def test_a_damaged_pointer_gives_way_to_the_newest(tmp_path, pointer):
    filled(tmp_path, 2)
    (tmp_path / "current").write_bytes(pointer)
    assert Registry(tmp_path, load=Snapshot.load).current.meta.number == 2


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "notes.safetensors").write_bytes(b"mine")
    (tmp_path / "00000007.partial").write_bytes(b"half")
    assert filled(tmp_path, 1).numbers == [1]
    assert (tmp_path / "notes.safetensors").read_bytes() == b"mine"
