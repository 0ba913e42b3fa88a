"""The manifest: what is damaged, missing or foreign is named, and nothing is measured then."""

import json

import pytest
from flyball.inference.models import manifest
from flyball.inference.models.verify import tables, verify_family
from rich.console import Console
from weights import write_weights


@pytest.fixture
def weights(tmp_path):
    for name in ("target", "middle", "draft"):
        (tmp_path / name).mkdir()
        model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
        (tmp_path / name / "tokenizer.json").write_text(json.dumps({"model": model}))
        (tmp_path / name / "config.json").write_text('{"vocab_size": 1}')
        write_weights(tmp_path / name)
    manifest.write(tmp_path, {"perplexity": {}})
    return tmp_path


@pytest.fixture
def console():
    return Console(record=True, width=200)


def test_untouched_files_pass(weights, console):
    assert manifest.problems(weights) == []
    assert verify_family(weights, measure=False, console=console)
    assert "9 files" in console.export_text()


def test_one_changed_byte_names_the_file(weights, console):
    file = weights / "middle" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    assert not verify_family(weights, console=console)
    said = console.export_text()
    assert "middle/model.safetensors is damaged" in said
    assert "target" not in said


def test_a_missing_file_and_a_foreign_one_are_named(weights):
    (weights / "draft" / "config.json").unlink()
    (weights / "draft" / "extra.bin").write_bytes(b"")
    assert manifest.problems(weights) == [
        "draft/config.json is missing",
        "draft/extra.bin is not in the manifest",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "no table of files"),
        ('{"version": 99, "files": {}}', "version 99"),
    ],
)
def test_a_broken_manifest_says_what_is_wrong(weights, console, content, complaint):
    (weights / manifest.FILE).write_text(content)
    assert not verify_family(weights, console=console)
    assert complaint in console.export_text()


def test_no_manifest_says_what_writes_it(tmp_path):
    assert "flyball models train" in manifest.problems(tmp_path)[0]


def test_tables_show_every_model_class_and_position(console):
    classes = ("code", "tool_calls", "prose")
    figures = {
        "parameters": {"target": 25_700_000, "middle": 4_600_000, "draft": 1_600_000},
        "perplexity": {name: dict.fromkeys(classes, 7.5) for name in ("target", "middle", "draft")},
        "acceptance": {name: dict.fromkeys(classes, [0.9] * 6) for name in ("middle", "draft")},
        "success": {"thought": {str(level): 0.5 for level in range(1, 6)}},
    }
    for table in tables(figures):
        console.print(table)
    said = console.export_text()
    assert said.count("0.90") == 36
    assert all(word in said for word in ("25.7 M", "7.50", "tool_calls", "thought"))
