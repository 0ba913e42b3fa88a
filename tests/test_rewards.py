from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flyball.envs.reward_inputs import COLUMNS, RewardInputs, trial
from flyball.envs.reward_loading import available
from flyball.envs.rewards import (
    BUILT_IN,
    CostUnderLatency,
    Goodput,
    LatencyCost,
    Reward,
    RewardError,
    evaluate,
    load_reward,
)
from hypothesis import given, settings
from hypothesis import strategies as st

HEAD = "import numpy as np\nfrom flyball.envs.rewards import Reward\n"
GOOD = """
class Mine(Reward):
    name = 'mine'
    needs = ('latency',)
    low, high, on_error = -5.0, 0.0, -1.0
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Write a module of a user's rewards in the current directory; returns its name."""
    monkeypatch.chdir(tmp_path)
    name = "user_" + "".join(c if c.isalnum() else "_" for c in request.node.name)

    def write(body: str, head: str = HEAD + GOOD) -> str:
        (tmp_path / f"{name}.py").write_text(head + body)
        return name

    yield write
    sys.modules.pop(name, None)


def test_latency_cost_weighs_the_components_by_the_speed() -> None:
    inputs = trial(9)
    values = evaluate(LatencyCost(), inputs)
    assert values[0] == pytest.approx(-inputs.cost[0])  # speed 0
    assert values[-1] == pytest.approx(-inputs.latency[-1])  # speed 1


def test_no_speculation_is_minus_one_at_every_speed() -> None:
    inputs = trial(4)
    off = np.ones(4)
    values = evaluate(LatencyCost(), RewardInputs(inputs.outcomes, off, off, inputs.speed))
    np.testing.assert_allclose(values, -1.0)


def test_goodput_counts_only_tokens_in_time() -> None:
    inputs = trial(8)
    assert (evaluate(Goodput(objective=1e3), inputs) > 0).all()
    assert (evaluate(Goodput(objective=1e-9), inputs) == 0).all()


def test_goodput_without_speculation_is_one() -> None:
    inputs = trial(1)
    assert evaluate(Goodput(objective=10.0), inputs)[0] == pytest.approx(1.0)


def test_cost_under_latency_prefers_the_cheaper_of_two_within_the_bound() -> None:
    inputs = trial(3)
    latency, cost = np.array([0.5, 0.7, 0.9]), np.array([1.4, 1.1, 1.0])
    values = evaluate(
        CostUnderLatency(bound=0.8), RewardInputs(inputs.outcomes, latency, cost, cost)
    )
    assert values.argmax() == 1
    assert values.argmin() == 2


@given(n=st.integers(1, 40), name=st.sampled_from(sorted(BUILT_IN)))
@settings(deadline=None)
def test_every_built_in_gives_one_bounded_number_per_row(n: int, name: str) -> None:
    reward = load_reward(name)
    values = evaluate(reward, trial(n))
    assert values.shape == (n,)
    assert values.dtype == np.float64
    assert ((values >= reward.low) & (values <= reward.high)).all()


@given(
    name=st.sampled_from(sorted(BUILT_IN)),
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    row=st.integers(0, 15),
)
@settings(deadline=None)
def test_a_row_with_a_bad_input_gets_on_error_and_the_others_do_not_change(
    name: str, bad: float, row: int
) -> None:
    reward, inputs = load_reward(name), trial(16)
    expected = evaluate(reward, inputs)
    column = reward.needs[0]
    values = inputs.column(column).copy()
    values[row] = bad
    if column in COLUMNS[:3]:
        inputs = replace(inputs, **{column: values})
    else:
        inputs = replace(inputs, outcomes=replace(inputs.outcomes, **{column: values}))
    expected[row] = reward.on_error
    np.testing.assert_array_equal(evaluate(reward, inputs), expected)


def test_nothing_emitted_gets_on_error() -> None:
    inputs = trial(2)
    emitted = np.array([0.0, inputs.outcomes.emitted[1]])
    outcomes = replace(inputs.outcomes, emitted=emitted)
    from flyball.policies.prices import compute_prices

    values = evaluate(LatencyCost(), RewardInputs.of(outcomes, compute_prices(0.1), 0.5))
    assert values[0] == LatencyCost.on_error
    assert values[1] != LatencyCost.on_error


def test_no_rows_give_no_values() -> None:
    inputs = trial(1)
    none = np.zeros(0)
    empty = RewardInputs(inputs.outcomes.take(np.zeros(0, np.intp)), none, none, none)
    assert evaluate(LatencyCost(), empty).shape == (0,)


def test_a_module_in_the_current_directory_is_found(write) -> None:
    name = write("    def __call__(self, inputs): return -inputs.latency")
    before = list(sys.path)
    reward = load_reward(f"{name}:Mine")
    np.testing.assert_array_equal(evaluate(reward, trial(5)), -trial(5).latency)
    assert sys.path == before


def test_an_edited_module_is_read_again(write) -> None:
    name = write("    def __call__(self, inputs): return -inputs.latency")
    old = load_reward(f"{name}:Mine")
    write("    def __call__(self, inputs): return -2.0 * inputs.latency")
    new = load_reward(f"{name}:Mine")
    np.testing.assert_allclose(evaluate(new, trial(1)), 2 * evaluate(old, trial(1)))


def test_parameters_follow_the_name() -> None:
    reward = load_reward("cost-under-latency?bound=0.5")
    assert isinstance(reward, CostUnderLatency)
    assert reward.bound == 0.5


def test_values_outside_the_declared_range_are_clipped(write) -> None:
    name = write("    def __call__(self, inputs): return -1e9 * np.ones(len(inputs))")
    assert (evaluate(load_reward(f"{name}:Mine"), trial(3)) == -5.0).all()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("    def __call__(self, inputs): return 1 / 0", "raised ZeroDivisionError"),
        ("    def __call__(self, inputs): return inputs.latency * np.nan", "NaN"),
        ("    def __call__(self, inputs): return 1.0", r"shape \(\)"),
        ("    def __call__(self, inputs): return inputs.latency[:, None]", "shape"),
        ("    def __call__(self, inputs): return inputs.latency > 0", "bool"),
        ("    def __call__(self, inputs): return ['a'] * len(inputs)", "real numbers"),
        ("    def __call__(self, inputs): return None", "shape"),
        ("    def __call__(self, inputs): return inputs.outcomes.speed", "AttributeError"),
        ("    def __call__(self, inputs): return -inputs.cost", "needs do not list"),
        ("    def __call__(self, i): return np.random.rand(len(i)) - 1", "not the same twice"),
        ("    def __call__(self, i): i.latency[:] = 0; return i.latency", "read-only"),
        ("    linear = True\n    def __call__(self, i): return -i.latency", "linear"),
        ("    low = 1.0\n    def __call__(self, i): return i.latency", "low < high"),
        ("    on_error = 3\n    def __call__(self, i): return i.latency", "on_error between"),
        ("    high = 'x'\n    def __call__(self, i): return i.latency", "finite numbers"),
        ("    low = float('nan')\n    def __call__(self, i): return i.latency", "finite"),
        ("    needs = ('speeed',)\n    def __call__(self, i): return i.latency", "needs must list"),
        ("    needs = 'cost'\n    def __call__(self, i): return i.latency", "needs must list"),
        ("    needs = 5\n    def __call__(self, i): return i.latency", "needs must list"),
        ("    name = ''\n    def __call__(self, i): return i.latency", "name must be"),
        ("    def __init__(self, x): pass\n    def __call__(self, i): return i.latency", "made"),
        ("    def __init__(self): raise SystemExit(3)", "cannot be made: SystemExit: 3"),
        ("    def __call__(self, i): raise SystemExit(3)", "raised SystemExit: 3"),
        ("    def __call__(self, i): raise OSError('a\\nb')", "raised OSError: a b"),
        ("    pass", "defines no __call__"),
    ],
)
def test_a_faulty_reward_is_refused_with_the_reason(write, body: str, reason: str) -> None:
    name = write(body)
    with pytest.raises(RewardError, match=reason):
        load_reward(f"{name}:Mine")


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("import no_such_module_anywhere", "does not import: ModuleNotFoundError"),
        ("def broken(:", "does not import: SyntaxError"),
        ("raise SystemExit(3)", "does not import: SystemExit"),
        ("class Mine: pass", "not a reward"),
        ("Mine = 3", "not a reward"),
        ("Other = 3", "has no 'Mine'"),
    ],
)
def test_a_module_that_holds_no_reward_is_refused(write, head: str, reason: str) -> None:
    name = write("", head=head)
    with pytest.raises(RewardError, match=reason):
        load_reward(f"{name}:Mine")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("latency", "there are cost-under-latency, goodput, latency-cost"),
        ("", "there are"),
        ("nowhere.at_all:Mine", "does not import"),
        (":Mine", "pkg.module:Class"),
        ("cost-under-latency?bound=low", "parameters of a reward are numbers"),
        ("cost-under-latency?bound", "parameters"),
        ("cost-under-latency?bound=-1", "bound must be"),
        ("cost-under-latency?bound=nan", "bound must be"),
        ("goodput?objective=0", "objective must be"),
        ("latency-cost?bound=1", "cannot be made"),
    ],
)
def test_an_unknown_or_malformed_spec_is_refused(spec: str, reason: str) -> None:
    with pytest.raises(RewardError, match=reason):
        load_reward(spec)


def test_an_installed_entry_point_is_found_by_its_name(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write("    def __call__(self, inputs): return -inputs.latency")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[flyball.rewards]\ntheirs = {name}:Mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "theirs" in available()
    assert load_reward("theirs").name == "mine"


def test_the_base_class_alone_is_refused() -> None:
    with pytest.raises(RewardError):
        load_reward(f"{Reward.__module__}:Reward")
