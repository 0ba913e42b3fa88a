"""Generated plans that go as those of the planning trace did: tasks that come back, unevenly.

A pool of templates, drawn with Zipf frequencies as requests of a real stream are; a template has
its own usual actions and its own hard steps, which are as hard whenever it is met again. Nothing
is independent within a template, and nothing is shared between templates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from .fitted import LONGEST, Fitted, Luck, MatchModel
from .recorded import TERMINATE, RecordedStep, RecordedTask, RecordedTurn

TOOLS: Final = (
    "Image Deblurring",
    "Image Denoising",
    "Image Super-Resolution",
    "Image Classification",
    "Image Captioning",
    "Object Detection",
    "Colorization",
    "Visual Question Answering",
    "Machine Translation",
    "Text Summarization",
    "Text-to-Image Generation",
    "Fill Mask",
    "Question Answering",
)
"""Tools of the trace; the first three repair images, and come first in its plans."""

_REPAIRS: Final = 3

OPENAGI_2025: Final = Fitted(
    match=MatchModel(
        position=(-0.05, 0.22, 5.51, -0.03, -1.0, -1.13, -1.28),
        final=1.08,
        after=0.6,
        task_sd=0.0,
        step_sd=2.0,
        always=0.1,
    ),
    lengths=(0.0, 0.0, 0.0, 0.0, 0.15, 0.2, 0.15, 0.1, 0.2, 0.1, 0.1),
    terminates=(0.0, 0.28, 0.5, 0.39, 0.41, 0.5, 0.84),
    repeats=0.76,
    a_log_seconds=(0.452, 0.366),
    a_tokens=(9.25, 0.8),
    action_tokens=(9.31, 0.86),
    thought_log_tokens=(4.748, 4.577, 4.977, 5.32, 5.551, 5.644, 5.607),
    thought_log_sd=0.247,
    t_seconds=(2.43, 0.0317),
    t_log_sd=0.217,
    a_prompt=(371.0, 17.8),
    thought_prompt=(391.0, 8.54),
    action_prompt=(418.0, 8.54),
)
"""``fit`` of the planning trace of April 2025: OpenAGI tasks, GPT-4-turbo, direct against ReAct."""

SENSITIVITY: Final = 0.7
"""By how many standard deviations A's confidence is higher where it is right: declared, as the
trace has no log-probabilities. It gives an area under the ROC curve of 0.69."""


@dataclass(frozen=True, kw_only=True)
class PlanGenerator:
    """A stream of tasks.

    Attributes:
        fitted: what they are drawn with.
        templates: in the pool.
        zipf: exponent of their frequencies: 0 = all alike.
        sensitivity: of A's log-probability to its being right, in standard deviations.

    Raises:
        ValueError: if one of them makes no sense.
    """

    fitted: Fitted = OPENAGI_2025
    templates: int = 40
    zipf: float = 1.0
    sensitivity: float = SENSITIVITY

    def __post_init__(self) -> None:
        if self.templates < 1:
            raise ValueError(f"templates must be at least 1, not {self.templates}")
        if not 0.0 <= self.zipf <= 10.0:
            raise ValueError(f"zipf must be in [0, 10], not {self.zipf}")
        if not 0.0 <= self.sensitivity <= 10.0:
            raise ValueError(f"sensitivity must be in [0, 10], not {self.sensitivity}")

    def tasks(self, count: int, seed: int) -> tuple[RecordedTask, ...]:
        """The first tasks of a stream; the same seed gives the same.

        Args:
            count: how many.
            seed: of templates and runs.
        """
        rng = np.random.default_rng(seed)
        lengths = rng.choice(LONGEST, self.templates, p=self.fitted.lengths) + 1
        plans = [_plan(int(n), rng) for n in lengths]
        pool = Luck.of(rng, self.templates)
        weights = np.arange(1.0, self.templates + 1.0) ** -self.zipf
        drawn = rng.choice(self.templates, count, p=weights / weights.sum())
        luck = Luck(
            pool.task[drawn], pool.step[drawn], pool.always[drawn], rng.random((count, LONGEST))
        )
        matches = self.fitted.match.draw(lengths[drawn], luck)
        return tuple(
            RecordedTask(
                text=_text(int(template), plans[template]),
                steps=self._run(plans[template], match, rng),
                group=int(template),
            )
            for template, match in zip(drawn, matches.tolist(), strict=True)
        )

    def _run(
        self, plan: tuple[str, ...], match: list[bool], rng: np.random.Generator
    ) -> tuple[RecordedStep, ...]:
        usual = rng.random(len(plan)) < self.fitted.repeats
        actions = [
            tool if same or tool == TERMINATE else _other(tool, rng)
            for tool, same in zip(plan, usual, strict=True)
        ]
        return tuple(
            RecordedStep(
                self._approximation(i, action, match[i], actions[i + 1 :], rng),
                self._target(i, action, rng),
            )
            for i, action in enumerate(actions)
        )

    def _approximation(
        self, i: int, action: str, match: bool, later: list[str], rng: np.random.Generator
    ) -> RecordedTurn:
        of = self.fitted
        shift = self.sensitivity * (0.5 if match else -0.5)
        return RecordedTurn(
            action=action if match else self._wrong(i, action, later, rng),
            seconds=math.exp(rng.normal(*of.a_log_seconds)),
            prompts=(_tokens(of.a_prompt[0] + of.a_prompt[1] * i),),
            completions=(_tokens(rng.normal(*of.a_tokens)),),
            logprob=-math.exp(-2.0 - shift + rng.normal()),
        )

    def _wrong(self, i: int, action: str, later: list[str], rng: np.random.Generator) -> str:
        """What A says where it is wrong: it ends too early, skips a step, or errs otherwise."""
        early = self.fitted.terminates
        if action != TERMINATE and rng.random() < early[min(i, len(early) - 1)]:
            return TERMINATE
        skips = [tool for tool in later[:1] if tool not in {TERMINATE, action}]
        return skips[0] if skips and rng.random() < 0.5 else _other(action, rng)

    def _target(self, i: int, action: str, rng: np.random.Generator) -> RecordedTurn:
        of = self.fitted
        level = of.thought_log_tokens[min(i, len(of.thought_log_tokens) - 1)]
        thought = _tokens(math.exp(rng.normal(level, of.thought_log_sd)))
        says = _tokens(rng.normal(*of.action_tokens))
        seconds = of.t_seconds[0] + of.t_seconds[1] * (thought + says)
        prompt = of.action_prompt[0] + of.action_prompt[1] * i
        return RecordedTurn(
            action=action,
            seconds=seconds * math.exp(rng.normal(-0.5 * of.t_log_sd**2, of.t_log_sd)),
            prompts=(
                _tokens(of.thought_prompt[0] + of.thought_prompt[1] * i),
                _tokens(prompt + thought),
            ),
            completions=(thought, says),
        )


def _plan(length: int, rng: np.random.Generator) -> tuple[str, ...]:
    """A template's usual actions: repairs in some order, then what they are for, then the end."""
    repairs = rng.permutation(TOOLS[:_REPAIRS]).tolist()
    others = rng.permutation(TOOLS[_REPAIRS:]).tolist()
    return (*[*repairs, *others][: length - 1], TERMINATE)


def _text(template: int, plan: tuple[str, ...]) -> str:
    """What a user would ask: for what comes of a plan, not for its steps."""
    wanted = plan[-2] if len(plan) > 1 else "nothing"
    return f"Task {template}: given a damaged input, return the result of {wanted}."


def _other(tool: str, rng: np.random.Generator) -> str:
    """Another tool."""
    others = [name for name in TOOLS if name != tool]
    return others[int(rng.integers(len(others)))]


def _tokens(value: float) -> int:
    return max(round(value), 1)
