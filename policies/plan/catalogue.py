"""Policies of the plan control point by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from ..catalogue.options import Explained, Options, explain, read
from .dsp import Dsp
from .encoder import HuggingFaceEncoder, RememberedEncoder
from .fixed import Fixed
from .isp import Isp
from .learned import Learned
from .oracle import Future, Judge, Oracle
from .policy import PlanPolicy
from .rule import Survival
from .snapshot import PlanSnapshot
from .space import PlanEstimates
from .state import MAX_AHEAD
from .survival import MatchModel

Steps = Annotated[int, Meta(ge=0, le=MAX_AHEAD, description=f"an integer in [0, {MAX_AHEAD}]")]


class FixedOptions(Options, frozen=True):
    """Options of ``fixed``; ``fixed:3`` is ``fixed:k=3``."""

    k: Steps = 2
    barrier: Annotated[bool, Meta(description="true or false: in rounds, each waited for")] = False


class IspOptions(Options, frozen=True):
    """Options of ``isp``."""

    k: Steps = 4


class DspOptions(Options, frozen=True):
    """Options of ``dsp``."""

    tau: Annotated[
        float, Meta(ge=0.5, lt=1.0, description="a number in [0.5, 1): the expectile")
    ] = 0.5
    beta: Annotated[
        int, Meta(ge=-MAX_AHEAD, le=MAX_AHEAD, description="an integer: steps added")
    ] = 0
    encoder: Annotated[str, Meta(description="a Hugging Face encoder on this machine")] = ""
    every: Annotated[int, Meta(ge=1, description="runs between two times of learning")] = 16
    background: Annotated[
        bool | None,
        Meta(description="true or false: in a thread of its own, as it does by default live"),
    ] = None


class SurvivalOptions(Options, frozen=True):
    """Options of ``survival``."""

    budget: Annotated[
        float, Meta(ge=0.0, le=1.0, description="a number in [0, 1]: loss spent on learning")
    ] = 0.005
    encoder: Annotated[
        str,
        Meta(description="a Hugging Face encoder on this machine that reads tasks and actions"),
    ] = ""
    background: Annotated[
        bool, Meta(description="true or false: it does so in a thread of its own")
    ] = True


class Given(NamedTuple):
    """What policies need that no text can say.

    Attributes:
        seed: of everything random.
        future: tells the oracle which steps will match.
        snapshot: that the learned policy starts with.
        live: whether an event loop waits for it that has other things to do.
    """

    seed: int = 0
    future: Future | None = None
    snapshot: PlanSnapshot | None = None
    live: bool = False


class PlanEntry(NamedTuple):
    """One policy, for people.

    Attributes:
        name: what users call it.
        about: one line, with whose idea it is.
        options: what can be set.
    """

    name: str
    about: str
    options: list[Explained]


def _dsp(o: DspOptions, given: Given) -> PlanPolicy:
    background = given.live if o.background is None else o.background
    return Dsp(o.tau, o.beta, o.encoder, o.every, background, given.seed)


def _survival(o: SurvivalOptions, given: Given) -> PlanPolicy:
    encoder = RememberedEncoder(HuggingFaceEncoder(o.encoder), o.background) if o.encoder else None
    return Survival(PlanEstimates(MatchModel(encoder)), o.budget, given.seed)


def _oracle(_: Any, given: Given) -> PlanPolicy:
    return Oracle(_future("oracle", given))


def _judge(_: Any, given: Given) -> PlanPolicy:
    return Judge(_future("judge", given))


def _future(name: str, given: Given) -> Future:
    if given.future is None:
        raise ValueError(f"plan policy {name!r} needs the future: only a replay can tell it")
    return given.future


_Make = Callable[[Any, Given], PlanPolicy]

_CATALOGUE: Final[Mapping[str, tuple[type[PlanPolicy], type[Options], _Make]]] = {
    "fixed": (Fixed, FixedOptions, lambda o, _: Fixed(o.k, o.barrier)),
    "isp": (Isp, IspOptions, lambda o, _: Isp(o.k)),
    "dsp": (Dsp, DspOptions, _dsp),
    "survival": (Survival, SurvivalOptions, _survival),
    "learned": (Learned, Options, lambda _, g: Learned(g.snapshot, seed=g.seed)),
    "judge": (Judge, Options, _judge),
    "oracle": (Oracle, Options, _oracle),
}


def plan_policies() -> list[PlanEntry]:
    """All policies, for people, the simplest first."""
    return [
        PlanEntry(name, policy.about, explain(options))
        for name, (policy, options, _) in _CATALOGUE.items()
    ]


def make_plan_policy(
    spec: str,
    seed: int = 0,
    future: Future | None = None,
    snapshot: PlanSnapshot | None = None,
    live: bool = False,
) -> PlanPolicy:
    """A policy from its specification.

    Args:
        spec: ``name``, or ``name:option=value,option=value``, as in ``dsp:tau=.9,beta=1``; the
            first option's name may be left out, as in ``fixed:3``.
        seed: of everything random.
        future: tells ``oracle`` and ``judge`` which steps will match; needed by those alone.
        snapshot: that the learned policy starts with; None for the rule.
        live: whether what takes long is done beside the event loop, unless ``spec`` says
            otherwise; else at once, which is repeatable.

    Raises:
        ValueError: listing the names that exist, or naming the option that will not do, its
            value and what it may be.
    """
    name, _, text = spec.partition(":")
    if name not in _CATALOGUE:
        raise ValueError(f"no plan policy {name[:80]!r}; there are {', '.join(_CATALOGUE)}")
    _, kind, make = _CATALOGUE[name]
    options = msgspec.structs.fields(kind)
    if text and "=" not in text.split(",")[0] and options:
        text = f"{options[0].name}={text}"
    query = re.sub(r"=(-?)\.(?=\d)", r"=\g<1>0.", text.replace(",", "&"))  # .9 is 0.9
    return make(read(name, kind, query), Given(seed, future, snapshot, live))
