"""Plans for tests: states, and runs ahead simulated outcome by outcome."""

from itertools import pairwise, product

import numpy as np
from flyball.policies.plan.policy import EndedCall, FinishedRun
from flyball.policies.plan.state import Committed, PlanState, Proposed

TASK = "Restore the blurred photograph, then describe it in German."


def step(tool, matched=None):
    return Committed(tool, tool, matched)


def proposal(tool, **about):
    return Proposed(tool, tool, **about)


def state(committed=(), proposed=(), **about):
    return PlanState(
        about.pop("task", TASK),
        tuple(committed),
        tuple(proposed),
        **about,
    )


def finished(committed, run=0, complete=True, seconds=0.0, task=TASK):
    return FinishedRun(run, task, tuple(committed), complete, seconds, 0.0, 0.0)


def call(kind, index, seconds, dollars, done=True):
    return EndedCall(kind, index, seconds, dollars, done)


class Course:
    """What a schedule gives, by simulating every place of the first mismatch."""

    def __init__(self, chances, *, begun, proposed, left, ages, a, t_price, a_price, at_once):
        self.chances, self.begun, self.proposed = chances, begun, proposed
        self.left, self.ages, self.a = left, ages, a
        self.t_price, self.a_price, self.at_once = t_price, a_price, at_once

    @property
    def steps(self):
        return len(self.chances)

    def schedules(self):
        """All that are feasible, as how many steps are to be settled before step 1, 2, ..."""
        every = product(*(range(1 if j < self.begun else j + 1) for j in range(self.steps + 1)))
        for m in every:
            if all(x <= y for x, y in pairwise(m)):
                calls = self.calls(m)
                if calls is not None:
                    yield m, calls

    def calls(self, m):
        """Starts and ends of T's calls, starts of A's or None, and when steps are settled."""
        settled, starts, ends, asked, ready = [], [], [], [], []
        for j in range(self.steps + 1):
            gate = settled[m[j] - 1] if m[j] else 0.0
            before = settled[-1] if settled else 0.0
            ask = None
            if j < self.begun:
                start, end, there = -self.ages[j], self.left[j], 0.0
            elif j <= self.proposed:
                start, there = gate, 0.0
                end = start + self.left[j]
            elif m[j] == j:
                start, there = before, max(gate, ready[-1] if ready else 0.0)
                end = start + self.left[j]
            else:
                ask = max(gate, ready[-1])
                if ask >= before:
                    return None
                there = ask + self.a
                start = min(there, before)
                end = start + self.left[j]
            starts.append(start)
            ends.append(end)
            asked.append(ask)
            ready.append(there)
            settled.append(max(before, end))
        return starts, ends, asked, settled

    def expected(self, calls):
        """Expected seconds and dollars of a schedule's calls."""
        seconds = dollars = 0.0
        alive = 1.0
        for last in range(self.steps + 1):
            chance = alive * (1.0 - self.chances[last]) if last < self.steps else alive
            alive *= self.chances[last] if last < self.steps else 1.0
            seconds += chance * calls[3][last]
            dollars += chance * self.charged(calls, last)
        return seconds, dollars

    def charged(self, calls, last):
        """Dollars when the first mismatch is seen as step ``last`` is settled."""
        starts, ends, asked, settled = calls
        over, total = settled[last], 0.0
        for j in range(self.steps + 1):
            if j <= last:
                total += self.t_price
            elif starts[j] < over:
                share = min((over - starts[j]) / (ends[j] - starts[j]), 1.0)
                total += self.t_price * (self.at_once + (1.0 - self.at_once) * share)
            if asked[j] is not None and (j <= last or asked[j] < over):
                total += self.a_price
        return total

    def best(self, second_value, dollar_value):
        """Least loss by number of steps started at once; infinite where there is none."""
        least = np.full(self.steps + 1, np.inf)
        for m, calls in self.schedules():
            seconds, dollars = self.expected(calls)
            ahead = sum(1 for j in range(1, self.steps + 1) if m[j] == 0)
            least[ahead] = min(least[ahead], second_value * seconds + dollar_value * dollars)
        return least
