"""The simulator against the real governor, around an engine in plain Python."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from flyball.inference.simulator.engine import Simulator
from flyball.inference.simulator.presets import preset
from flyball.inference.simulator.settings import SimulatorSettings
from flyball.inference.simulator.workload import Length, Phase, RequestClass, Workload
from flyball.policies.spaces import DEPTH_SPACE
from flyball.policies.transition import OutcomeBatch, outcome_row
from python_engine import PythonEngine, Scripted

LENGTHS = {"prompt": Length(40), "output": Length(90)}
CLASSES = (
    RequestClass("tool_calls", (0.95, 0.9), named=True, effect=0.5, **LENGTHS),
    RequestClass("prose", (0.6, 0.5, 0.4), effect=0.5, **LENGTHS),
)
SCRIPT = [3] * 5 + [0, 0, 6, 1, 1, 1, 4] + [2] * 6 + [5, 0, 5, 0] + [6] * 9 + [1] * 60


def settings(concurrency: int, budget: int) -> SimulatorSettings:
    own = preset("cpu")
    return SimulatorSettings(
        cost_model=type(own.cost_model)([9e-3, 5e-4, 1e-3, 1e-4, 3e-5, 1e-7, 2e-5]),
        workload=Workload(CLASSES, (Phase(concurrency=concurrency),)),
        max_num_seqs=8,
        max_num_batched_tokens=budget,
    )


@pytest.mark.parametrize(
    ("concurrency", "budget"), [(1, 2048), (2, 16), (6, 64), (12, 128), (8, 20)]
)
def test_it_sees_and_measures_what_the_governor_does(
    monkeypatch: pytest.MonkeyPatch, concurrency: int, budget: int
) -> None:
    simulator = Simulator(settings(concurrency, budget), seed=7)
    governor = Scripted(simulator.settings, [*SCRIPT])
    engine = PythonEngine(simulator.settings, 7, governor)
    monkeypatch.setattr("time.perf_counter", lambda: engine.clock)
    while len(governor.script) > 20:
        engine.step()
    seen, rows = [simulator.reset()[0]], []
    for depth in SCRIPT[: governor.decisions]:
        step = simulator.step(np.array([depth]))
        seen.append(step.observations[0])
        rows.append(step.outcomes[0])
    assert len(governor.sent) > 20

    for transition in governor.sent:
        number = transition.decision.number
        own = DEPTH_SPACE.describe(seen[number - 1])
        its = DEPTH_SPACE.describe(transition.decision.vector())
        assert own == pytest.approx(its, rel=1e-6, abs=1e-6), number
        assert rows[number - 1][OutcomeBatch.SCALARS.index("switched")] == (
            transition.outcome.switched
        )
    last = governor.decisions - 1
    for number in range(1, last):
        own = np.delete(rows[number - 1], [0, OutcomeBatch.SCALARS.index("switched")])
        np.testing.assert_allclose(own, engine.rows[number], rtol=1e-9, err_msg=str(number))

    # Over a run of one depth the governor's outcomes have the same sums, but for the drafts of
    # its last step, which are verified when another depth is in force.
    outcomes = {
        t.decision.number: outcome_row(t.decision.applied, t.outcome) for t in governor.sent
    }
    scalars = [
        i for i, name in enumerate(OutcomeBatch.SCALARS) if name not in ("depth", "switched")
    ]
    runs = [[n for n, _ in run] for _, run in groupby(enumerate(SCRIPT[:last], 1), lambda x: x[1])]
    for run in runs[:-1]:
        theirs = sum(outcomes.get(n, np.zeros(len(rows[0]))) for n in run)
        ours = sum(rows[n - 1] for n in run)
        np.testing.assert_allclose(ours[scalars], theirs[scalars], rtol=1e-9, err_msg=str(run))
        assert (ours[len(OutcomeBatch.SCALARS) :] <= theirs[len(OutcomeBatch.SCALARS) :]).all()
