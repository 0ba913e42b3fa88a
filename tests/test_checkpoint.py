import json
import logging

import msgspec
import numpy as np
import pytest
from flyball.controller import checkpoint as checkpoints
from flyball.controller.checkpoint import CheckpointError


class Kept(msgspec.Struct):
    count: int
    name: str = "one"


def write(folder, count=1):
    tensors = {
        "table": np.arange(12, dtype=np.float32).reshape(3, 4) * count,
        "column": np.arange(20).reshape(4, 5)[:, 1],
        "scalar": np.float32(count) * np.ones((), np.float32),
    }
    checkpoints.write(folder, Kept(count), {"arrays": tensors})
    return tensors


def test_what_was_written_is_read(tmp_path):
    folder = tmp_path / "run" / "checkpoint"
    written = write(folder, 3)
    state, groups = checkpoints.read(folder, Kept)
    assert state == Kept(3)
    for name, array in written.items():
        assert groups["arrays"][name].shape == array.shape
        assert np.array_equal(groups["arrays"][name], array)


def test_the_one_before_is_kept_and_nothing_else(tmp_path):
    folder = tmp_path / "checkpoint"
    for count in (1, 2, 3):
        write(folder, count)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint", "checkpoint.previous"]
    assert checkpoints.read(folder, Kept)[0].count == 3
    assert checkpoints.read(tmp_path / "checkpoint.previous", Kept)[0].count == 2


def test_a_writer_killed_half_way_loses_nothing(tmp_path):
    folder = tmp_path / "checkpoint"
    write(folder)
    partial = tmp_path / "checkpoint.partial"
    partial.mkdir()
    (partial / "arrays.safetensors").write_bytes(b"half")
    assert checkpoints.find(folder) == [folder]
    assert checkpoints.read(folder, Kept)[0].count == 1
    write(folder, 2)
    assert checkpoints.read(folder, Kept)[0].count == 2


def test_a_writer_killed_between_the_renames_leaves_the_one_before(tmp_path):
    folder = tmp_path / "checkpoint"
    write(folder)
    folder.rename(tmp_path / "checkpoint.previous")
    (found,) = checkpoints.find(folder)
    assert checkpoints.read(found, Kept)[0].count == 1


def test_the_newest_comes_first(tmp_path):
    folder = tmp_path / "checkpoint"
    for count in (1, 2, 3):
        write(folder, count)
    assert [checkpoints.read(f, Kept)[0].count for f in checkpoints.find(folder)] == [3, 2]


def test_there_is_none_at_first(tmp_path):
    assert checkpoints.find(tmp_path / "checkpoint") == []


def edit(name, change):
    def damage(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def manifest(**change):
    return edit("state.json", lambda data: json.dumps(json.loads(data) | change).encode())


DAMAGES = {
    "tensors flipped": edit("arrays.safetensors", lambda d: d[:-1] + bytes([d[-1] ^ 1])),
    "tensors truncated": edit("arrays.safetensors", lambda d: d[:40]),
    "tensors empty": edit("arrays.safetensors", lambda _: b""),
    "tensors gone": lambda folder: (folder / "arrays.safetensors").unlink(),
    "state truncated": edit("state.json", lambda d: d[:20]),
    "state is noise": edit("state.json", lambda _: b"\x80\x04pickle"),
    "state gone": lambda folder: (folder / "state.json").unlink(),
    "another schema": manifest(schema=99),
    "state of another kind": manifest(state={"count": "many"}),
    "a path that leads out": manifest(files={"../../etc": 1}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_one_is_refused(tmp_path, damage):
    folder = tmp_path / "checkpoint"
    write(folder)
    damage(folder)
    with pytest.raises(CheckpointError):
        checkpoints.read(folder, Kept)


def test_a_damaged_one_is_set_aside_and_said_loudly(tmp_path, caplog):
    folder = tmp_path / "checkpoint"
    with caplog.at_level(logging.ERROR):
        for count in (1, 2):
            write(folder, count)
            aside = checkpoints.set_aside(folder, "it was broken")
            assert aside.name.startswith("checkpoint.damaged-")
            assert not folder.exists()
    assert len(list(tmp_path.glob("checkpoint.damaged-*"))) == 2
    assert caplog.text.count(": it was broken") == 2
