"""A planner and a controller over the wire: orders that hold, runs that are learned from."""

from __future__ import annotations

import asyncio
import threading
from random import Random
from typing import ClassVar

import numpy as np
import pytest
from flyball.inference.address import Address
from flyball.inference.agents.governor import PlanGovernor
from flyball.inference.agents.messages import PlannerInfo, columns_of, rows_of
from flyball.inference.agents.orders import PlanOrders
from flyball.inference.agents.planner import Planner
from flyball.inference.agents.replay.clock import run_virtual
from flyball.inference.client import ControllerError
from flyball.inference.reports import Mode, PlanReport
from flyball.inference.wire import SetMode, UsePolicy
from flyball.policies.plan import dsp
from flyball.policies.plan.dsp import Dsp
from flyball.policies.plan.fixed import Fixed
from flyball.policies.plan.policy import FinishedRun, PlanPolicy
from flyball.policies.plan.rule import Survival
from flyball.policies.plan.snapshot import uncorrected
from flyball.policies.plan.state import PlanState
from running import ControllerUnderTest, until
from scripted_agents import PRICES, Approximation, Choosing, Records, Script, Target, alone, done

INFO = PlannerInfo(planner="agents", approximation="small", target="large", static_steps=1)

QUICK = Script(length=4, a_seconds=(0.01,), t_seconds=(0.05,))
"""For real time."""


def scripts(count: int, seed: int = 0) -> list[Script]:
    """Tasks some of which A knows by heart, and others not at all."""
    random = Random(seed)
    return [
        Script(
            seed=seed * 1000 + i,
            length=random.randint(3, 7),
            right=(True,) if i % 2 else tuple(random.random() < 0.4 for _ in range(7)),
            t_seconds=tuple(random.uniform(4.0, 12.0) for _ in range(7)),
        )
        for i in range(count)
    ]


def run_all(governor: PlanGovernor, tasks: list[Script]) -> None:
    """Plan every task in virtual time, and check that what was done is T's own."""

    async def plan() -> None:
        for script in tasks:
            planner = Planner(Approximation(), Target(), Records(script), governor, PRICES)
            assert done(await planner.run(script)) == alone(script)

    run_virtual(plan())


@pytest.fixture
def sent() -> list[PlanReport]:
    return []


def governor(sent: list[PlanReport], **orders: object) -> PlanGovernor:
    def send(report: PlanReport) -> bool:
        sent.append(report)
        return True

    return PlanGovernor(INFO, send, PlanOrders(**orders))  # type: ignore[arg-type]


def test_every_complete_run_is_reported_as_it_was(sent: list[PlanReport]) -> None:
    governed = governor(sent)
    run_all(governed, scripts(5))
    rows = [rows_of(report.columns) for report in sent]
    assert len(rows) == governed.totals.complete == 5
    assert sum(map(len, rows)) == governed.decisions == sum(governed.beat().aheads)
    settled = sum(float(part.spent[:, 2].sum()) for part in rows)
    assert settled == governed.totals.steps
    spent = sum(float(part.spent[:, 1].sum()) for part in rows)
    assert spent == pytest.approx(governed.totals.dollars + governed.totals.wasted, rel=1e-4)
    assert all(part.ended[-1] and not part.ended[:-1].any() for part in rows)


@pytest.mark.parametrize(
    ("mode", "reports", "aheads"),
    [(Mode.OFF, 0, {1}), (Mode.OBSERVE, 4, {1}), (Mode.SHADOW, 4, {1}), (Mode.FREEZE, 4, None)],
)
def test_modes(sent: list[PlanReport], mode: Mode, reports: int, aheads: set[int] | None) -> None:
    governed = governor(sent, mode=mode, speed=1.0)
    run_all(governed, scripts(4))
    assert len(sent) == reports
    chosen = {i for i, count in enumerate(governed.beat().aheads) if count}
    assert chosen == aheads if aheads else len(chosen) > 1
    for report in sent:
        assert (rows_of(report.columns).propensities == 1.0).all()


def test_a_frozen_policy_of_the_catalogue_neither_explores_nor_learns() -> None:
    policy = Survival(budget=1.0)
    before = policy.estimates.arrays()
    frozen = governor([], mode=Mode.FREEZE, speed=0.8, policy=policy, spec="survival")
    run_all(frozen, scripts(6))
    assert not policy.explore
    now = policy.estimates.arrays()
    assert all(np.array_equal(now[name], before[name]) for name in now if name != "congestion")
    # What is measured goes on, for whoever decides next.
    assert frozen.learned.estimates.arrays()["matches/before"].any()
    frozen.book.receive(SetMode("agents", Mode.APPLY))
    run_all(frozen, scripts(6))
    assert policy.explore
    assert not np.array_equal(policy.estimates.arrays()["matches/before"], before["matches/before"])


def test_a_run_that_was_frozen_on_its_way_leaves_no_gap_to_learn_from() -> None:
    class Noting(Fixed):
        told: ClassVar[list[str]] = []

        def settled(self, state: PlanState, index: int, matched: bool | None) -> None:
            self.told.append(f"settled {index}")
            if index == 1:
                governed.book.receive(SetMode("agents", Mode.FREEZE))

        def finished(self, run: FinishedRun) -> None:
            self.told.append("finished")

        def forget(self, run: int) -> None:
            self.told.append("forgotten")
            governed.book.receive(SetMode("agents", Mode.APPLY))

    governed = governor([], policy=Noting(1), spec="noting")
    run_all(governed, [Script(length=5), Script(length=2)])
    assert Noting.told == ["settled 0", "settled 1", "forgotten"] * 2


def test_policies_that_are_ordered_learn_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(dsp, "learn", lambda *_: threads.append(threading.get_ident()))
    governed = PlanGovernor(INFO)
    governed.book.receive(UsePolicy("agents", "dsp:tau=.9,every=1"))

    async def plan() -> None:
        planner = Planner(Approximation(), Target(), Records(QUICK), governed, PRICES)
        assert done(await planner.run(QUICK)) == alone(QUICK)

    asyncio.run(plan())
    until(lambda: threads)
    assert threading.get_ident() not in threads
    assert governed.faults == 0
    governed.book.receive(UsePolicy("agents", "dsp:background=false"))
    assert not governed.slow


def test_dsp_forgets_a_run_that_it_is_not_told_of_any_more() -> None:
    policy = Dsp(every=1)
    for number, forgotten in ((1, True), (2, False)):
        policy.settled(PlanState("a task", run=number), 0, True)
        if forgotten:
            policy.forget(number)
        policy.finished(FinishedRun(number, "a task", (), False, 1.0, 0.0, 0.0))
        assert bool(policy._episodes) is not forgotten


@pytest.mark.parametrize(("mode", "ahead"), [(Mode.SHADOW, 1), (Mode.APPLY, 3)])
def test_modes_hold_for_policies_that_take_time(
    sent: list[PlanReport], mode: Mode, ahead: int
) -> None:
    def choosing() -> Choosing:
        return Choosing([3], barrier=True, slow=0.5)

    for script in scripts(3):
        governed = governor(sent, mode=mode, policy=choosing(), spec="slow")
        run_all(governed, [script])
        assert {i for i, count in enumerate(governed.beat().aheads) if count} == {ahead}
        rows = rows_of(sent[-1].columns)
        assert set(rows.actions) == {ahead}
        assert len(rows) == governed.decisions
        assert rows.spent[:, 2].sum() == governed.totals.steps
    assert len(sent) == 3


def test_a_policy_that_fails_costs_the_speculation_alone(sent: list[PlanReport]) -> None:
    class Broken(PlanPolicy):
        def decide(self, state: object) -> object:  # type: ignore[override]
            raise ZeroDivisionError("broken")

        def finished(self, run: object) -> None:
            raise ZeroDivisionError("broken as well")

    governed = governor(sent, policy=Broken(), spec="broken")
    run_all(governed, scripts(3))
    assert governed.faults == governed.decisions + 3
    assert governed.beat().aheads[0] == governed.decisions
    assert "broken" in governed.last_fault


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"actions": b""}, "1 to"),
        ({"matched": b"1234"}, "matched has 4 bytes"),
        ({"more": b""}, "columns must be"),
    ],
)
def test_a_report_that_does_not_fit_is_refused(
    sent: list[PlanReport], change: dict[str, bytes], words: str
) -> None:
    run_all(governor(sent), scripts(1))
    columns = sent[0].columns
    assert columns_of(rows_of(columns)) == columns
    with pytest.raises(ValueError, match=words):
        rows_of(columns | change)
    far = np.frombuffer(columns["actions"], np.int64) + 9
    with pytest.raises(ValueError, match="actions"):
        rows_of(columns | {"actions": far.tobytes()})


def test_a_controller_orders_and_learns(tmp_path) -> None:
    governed = PlanGovernor(INFO, seed=1)
    run = tmp_path / "run"
    with ControllerUnderTest(run) as controller:
        client = controller.client
        link = governed.connect(controller.address)
        try:
            until(lambda: client.status()["planners"])
            assert client.set_knob(0.9) == 0.9
            until(lambda: governed.book.orders.speed == 0.9)
            for batch in range(60):
                run_all(governed, scripts(6, batch))
                if governed.book.orders.snapshot is not None:
                    break
            snapshot = until(lambda: governed.book.orders.snapshot)
            assert snapshot.meta.transitions >= 64
            run_all(governed, scripts(4, 99))
            until(lambda: client.status()["planners"][0]["version"] >= 1)
            check_reward(client, governed)
            check_orders(client, governed)
            check_status(client, governed)
        finally:
            link.close()
        learned = client.status()["plan_learner"]["transitions"]
    assert list((run / "plan").glob("events.out.tfevents*"))
    with ControllerUnderTest(run) as controller:
        assert controller.client.status()["plan_learner"]["transitions"] == learned
        again = PlanGovernor(INFO)
        link = again.connect(controller.address)
        try:
            # It gets the last snapshot, the knob and its policy without asking.
            until(lambda: again.book.orders.snapshot and again.book.orders.spec == "fixed:3")
            assert again.book.orders.speed == 0.9
        finally:
            link.close()


def check_orders(client, governed: PlanGovernor) -> None:
    client.set_mode("agents", "shadow")
    until(lambda: governed.book.orders.mode is Mode.SHADOW)
    client.set_mode("agents", "apply")
    client.pin("agents", 8)
    until(lambda: governed.book.orders.pinned == 8)
    with pytest.raises(ControllerError, match=r"\[0, 8\]"):
        client.pin("agents", 9)
    client.pin("agents", None)
    client.set_policy("agents", "fixed:3")
    until(lambda: governed.book.orders.spec == "fixed:3" and governed.book.orders.pinned is None)
    with pytest.raises(ControllerError, match="there are fixed, isp"):
        client.set_policy("agents", "best")


def check_reward(client, governed: PlanGovernor) -> None:
    """One that wants the most speed decides at another one, at the same knob."""
    client.set_reward("cost-under-latency?bound=0.01")
    until(lambda: governed.book.orders.snapshot.meta.reward == "cost-under-latency")
    fastest = governed.book.orders.snapshot.speed_at(0.0)
    assert fastest > 0.5
    assert client.status()["plan_learner"]["effective_speed"] == pytest.approx(fastest, abs=0.2)
    client.set_reward("latency-cost")
    until(lambda: governed.book.orders.snapshot.meta.reward == "latency-cost")
    assert governed.book.orders.snapshot.speed_at(0.0) == 0.0


def check_status(client, governed: PlanGovernor) -> None:
    (planner,) = client.status()["planners"]
    assert planner["totals"]["runs"] >= governed.totals.runs - 1
    assert planner["matched_share"] is None or 0.0 <= planner["matched_share"] <= 1.0
    assert planner["survival_brier"] < 0.25


def test_an_uncorrected_snapshot_is_no_snapshot_of_engines() -> None:
    governed = PlanGovernor(INFO)
    governed.book.receive(uncorrected(3))
    assert governed.book.orders.version == 3
    governed.book.receive(b"nonsense")
    assert governed.book.refused == 1


def test_a_link_is_refused_beyond_loopback_without_keys() -> None:

    with pytest.raises(ValueError, match="FLYBALL_KEYS"):
        PlanGovernor(INFO).connect(Address("192.0.2.1", 5757))
