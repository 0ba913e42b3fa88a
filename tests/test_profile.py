from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from factories import COEFFICIENTS, World
from flyball.benchmarks.engines import BenchError
from flyball.benchmarks.listener import Listener
from flyball.benchmarks.profiling import ProfileOptions, Stage, Walk, to_profile
from flyball.controller.cli.profile import tables
from flyball.inference.address import Address
from flyball.inference.identity import Identity, model_hash, of_info, of_models
from flyball.inference.profile import ProfileError, check, default_path, load_profile
from flyball.policies.step_time import PRIOR
from ports import free_ports
from profiles import IDENTITY, conditions, linear, profile
from rich.console import Console
from wire_engine import WireEngine


def test_a_profile_comes_back_from_its_file(tmp_path: Path):
    made, path = profile(), tmp_path / "deep" / "profile.json"
    made.save(path)
    assert load_profile(path) == made
    assert np.allclose(made.vector[:5], COEFFICIENTS[:5], rtol=0.2)
    assert [p.name for p in path.parent.iterdir()] == ["profile.json"]


def test_a_file_is_named_after_the_engine():
    identity = msgspec.structs.replace(IDENTITY, device="Some(R) CPU @ 2.0GHz", target="a/b")
    assert default_path(identity).name == "a-b__draft__bfloat16__Some-R-CPU-2.0GHz.json"


DAMAGES = {
    "schema 2": {"schema": 2},
    "unknown field": {"surprise": 1},
    "coefficients must be of": {"coefficients": {"step": 1.0}},
    "not below zero": {"coefficients": dict.fromkeys(profile().coefficients, -1.0)},
    "must take time": {"coefficients": dict.fromkeys(profile().coefficients, 0.0)},
    "rows of 7": {"grid": [[1.0]]},
    "grid must be finite": {"grid": [[0.0] * 7] * 5},
    "must ascend": {"batches": [2.0, 1.0, 4.0, 8.0, 16.0]},
    "noise and errors": {"noise": -0.1},
    "k_max must be": {"identity": {"k_max": 99}},
    "Expected `array`": {"conditions": "none"},
    "condition 1 cannot": {
        "conditions": [{**msgspec.to_builtins(profile().conditions[0]), "depth": 7}]
    },
}


@pytest.mark.parametrize("says", DAMAGES)
def test_a_damaged_profile_is_refused_with_what_is_wrong(tmp_path: Path, says: str):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({**msgspec.to_builtins(profile()), **DAMAGES[says]}))
    with pytest.raises(ProfileError, match=says):
        load_profile(path)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_what_is_no_profile_is_refused(tmp_path: Path, data: bytes):
    path = tmp_path / "profile.json"
    path.write_bytes(data)
    with pytest.raises(ProfileError, match=r"profile\.json"):
        load_profile(path)
    with pytest.raises(ProfileError, match="no profile at"):
        load_profile(tmp_path / "none.json")


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path):
    path = tmp_path / "profile.json"
    profile().save(path)
    data = path.read_bytes()
    for share in np.linspace(0.0, 0.999, 20):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(ProfileError):
            load_profile(path)


def test_the_profile_of_another_engine_is_refused_with_all_that_differs():
    check(profile(), IDENTITY)
    other = msgspec.structs.replace(IDENTITY, version="0.31.0", dtype="float32", draft="middle")
    with pytest.raises(ProfileError) as refused:
        check(profile(), other)
    for words in ("'0.32.0'", "'0.31.0'", "'bfloat16'", "'float32'", "'draft'", "'middle'"):
        assert words in str(refused.value)
    assert "target" not in str(refused.value)


@pytest.mark.parametrize("field", Identity.__struct_fields__)
def test_every_field_that_is_known_has_to_match(field: str):
    other = msgspec.structs.replace(IDENTITY, **{field: "something else"})
    with pytest.raises(ProfileError, match=f"{field}: "):
        check(profile(), other)
    check(profile(), msgspec.structs.replace(IDENTITY, **{field: None}))


def test_models_are_known_by_their_configuration_and_the_size_of_their_weights(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"12345678")
    before = model_hash(tmp_path)
    (tmp_path / "README.md").write_text("no part of it")
    assert model_hash(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"123456789")
    grown = model_hash(tmp_path)
    (tmp_path / "config.json").write_text('{"vocab_size": 2}')
    assert len({before, grown, model_hash(tmp_path)}) == 3


def test_the_engine_that_would_run_says_what_it_is(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    found = of_models(tmp_path, tmp_path, 4, "float32", frozenset({0, 1, 2}))
    assert (found.target, found.k_max, found.dtype) == (tmp_path.name, 4, "float32")
    assert found.device
    assert found.threads in (0, 3)
    eager = of_models(tmp_path, tmp_path, 4, "float32", None, ["--enforce-eager"])
    assert eager.compiled is False


def test_a_profile_with_a_depth_missing_is_none():
    with pytest.raises(BenchError, match=r"depths \[6\]"):
        to_profile(IDENTITY, [c for c in conditions(linear) if c.depth != 6])


@pytest.mark.parametrize("options", [{"k_max": 0}, {"k_max": 9}, {"minutes": 0.0}])
def test_options_that_cannot_be_are_refused(options: dict):
    with pytest.raises(ValueError, match=f"--{next(iter(options)).replace('_', '-')}"):
        ProfileOptions(**options)


class TestLearner:
    """A learner that is given a profile."""

    def given(self, make_learner, path: Path, **identity: object):
        made = profile(msgspec.structs.replace(IDENTITY, version=None, **identity))
        made.save(path)
        return make_learner(profile=path), made

    def test_starts_from_it(self, make_learner, tmp_path: Path):
        learner, made = self.given(make_learner, tmp_path / "profile.json")
        assert np.allclose(learner.times.coefficients, made.vector, rtol=1e-5)
        learner.times.meet(World().info())
        model = learner.times.models["engine-0"]
        assert np.allclose(model.coefficients, made.vector, rtol=1e-5)

    def test_an_engine_of_another_kind_starts_without(self, make_learner, tmp_path, caplog):
        learner, _ = self.given(make_learner, tmp_path / "profile.json", dtype="float32")
        learner.times.meet(World().info())
        assert np.allclose(learner.times.models["engine-0"].coefficients, PRIOR)
        assert "'float32'" in caplog.text
        assert of_info(World().info()).dtype == "bfloat16"

    def test_corrects_it_online_and_keeps_it_over_a_restart(self, make_learner, tmp_path):
        learner, _ = self.given(make_learner, tmp_path / "profile.json")
        world = World(coefficients=tuple(2 * c for c in COEFFICIENTS))
        learner.ingest(world.info(), world.transitions(40))
        learner.checkpoint()
        again = make_learner(profile=tmp_path / "profile.json")
        assert np.array_equal(again.times.coefficients, learner.times.coefficients)
        assert again.times.coefficients[0] == pytest.approx(2 * COEFFICIENTS[0], rel=0.2)


def test_an_engine_is_walked_through_its_depths_and_profiled():
    address = Address("127.0.0.1", free_ports(2))
    stage, said = Stage(4, long=False), []
    with Listener(address) as listener, WireEngine(str(address), "profiled", 0.002):
        options = ProfileOptions(quick=True)
        walk = Walk(options, "http://127.0.0.1:1", listener, lambda *a: said.append(a))
        for depth in (6, 2, 0, 4, 1, 5, 3):
            walk.visit(stage, depth)
    made = to_profile(IDENTITY, walk.conditions())
    assert made.batches == [4.0]
    assert [c.depth for c in made.conditions] == list(range(7))
    for c in made.conditions:  # of what the engine says of itself
        assert c.seconds == pytest.approx(0.012 + 0.001 * c.depth)
        assert (c.batch, c.context, c.prefill) == (4.0, 100.0, 0.0)
        assert c.intervals >= 6
    assert made.error_median < 0.1
    console = Console(width=120, file=io.StringIO())
    console.print(tables(made))
    shown = console.file.getvalue()
    for words in ("K=6", "12.0", "18.0", "ms per request", "ns per cached token", "median error"):
        assert words in shown


def test_prompts_of_a_profile_never_begin_alike():
    walk = Walk(ProfileOptions(), "http://127.0.0.1:1", None, lambda *_: None)
    texts = [next(walk._source(long)).text for long in (False, True) for _ in range(20)]
    assert len({text.partition("\n")[0] for text in texts}) == 40
    assert min(len(text) for text in texts[20:]) > 3000
    assert Stage(4, long=True).name == "batch 4, long prompts"
