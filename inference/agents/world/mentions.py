"""What an action can be about: values that were mentioned before.

A small model knows which tool comes next long before it can copy a name. Where its server decodes
by a grammar, it is left to choose among the calls whose arguments were mentioned: in the goal, in
observations, or in earlier actions. Most right plans are made of these; what is not, such as a
sum, cannot be proposed then.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from ..protocol import Step
from .scenery import MEASURES
from .task import Task
from .units import UNITS
from .world import TOOLS

_PERSON: Final = r"\b[A-Z][a-z]+ [A-Z][a-z]+\b"
_CITY: Final = r"\b[A-Z][a-z]+\b"
_PRODUCT: Final = r"\b[A-Z][a-z]+ [a-z]+\b"
_PATH: Final = r"\b[a-z]+/[a-z]+\.txt\b"
_DATE: Final = r"\b\d{4}-\d\d-\d\d\b"
_TIME: Final = r"\b\d\d:\d\d\b"
_REFERENCE: Final = r"\bR\d{5}\b"
_UNIT: Final = rf"(?<![\w-])(?:{'|'.join(UNITS)})(?![\w-])"
_AMOUNT: Final = rf"\b\d+(?:\.\d+)? (?:{'|'.join(UNITS)}|EUR)\b"
_FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "subject": (_PERSON, _PRODUCT, _CITY),
    "person": (_PERSON,),
    "date": (_DATE,),
    "path": (_PATH,),
    "folder": (r"(?<=folder )[a-z]+\b", r"\b[a-z]+(?=/)"),
    "start": (_TIME,),
    "offer": (r"\b[FTH]\d{3}\b",),
    "minutes": (r"\b\d{1,3}(?=(?: free)? min)",),
    "value": (r"\b\d+(?:\.\d+)?(?= [a-z])",),
    "city": (_CITY,),
    "title": (r"(?<=\ba )[a-z]{3,} [a-z]{3,}\b", r"(?<=\bthe )[a-z]{3,} [a-z]{3,}\b"),
    "text": (_REFERENCE, _AMOUNT, _CITY, r"\b[a-z]{3,}\b"),
    "answer": (_REFERENCE, _AMOUNT, _CITY, _PATH, _TIME),
}
"""How arguments look, by the name of the parameter."""

_ENDS: Final = {
    (False, "from"): (_CITY,),
    (False, "to"): (_CITY,),
    (True, "from"): (rf"(?<=\d )(?:{'|'.join(UNITS)})(?![\w-])",),
    (True, "to"): (_UNIT,),
}
"""How the ends of a journey look, and of a conversion."""

_FIELDS: Final = (
    *("home", "phone", "email", "population", "elevation", "mayor", "price"),
    *MEASURES,
)
_MOST: Final = 150  # combinations of arguments that are written out
_SPECIAL: Final = re.compile(r"[\\.^$*+?()\[\]{}|/]")


def mentioned(task: Task, steps: Sequence[Step]) -> str:
    """A regular expression of the turns that act on what was mentioned, in the style ``act``.

    Args:
        task: what is to be done.
        steps: those before, oldest first.
    """
    texts = [_plain(task.goal), *(text for step in steps for text in _texts(step))]
    done = {str(step.action) for step in steps}
    calls = [
        _call(name, list(tool.parameters), values, done)
        for name, tool in TOOLS.items()
        if all(values := [_values(name, p, texts) for p in tool.parameters])
    ]
    return f"Action: ({'|'.join(calls)})"


def _call(name: str, parameters: list[str], values: list[list[str]], done: Collection[str]) -> str:
    """Calls of one tool; where they can be written out, none that makes no sense."""
    if math.prod(map(len, values)) > _MOST:
        arguments = (f'"{p}": {_one_of(v)}' for p, v in zip(parameters, values, strict=True))
        return rf"{name} \{{{', '.join(arguments)}\}}"
    order = {value: i for each in values for i, value in enumerate(each)}
    rows = [dict(zip(parameters, row, strict=True)) for row in itertools.product(*values)]
    written = {_arguments(row): _sensible(row, order) for row in rows}
    sensible = [text for text, is_so in written.items() if is_so and f"{name} {text}" not in done]
    return f"{name} {_one_of(sensible or list(written)[:1])}"


def _arguments(row: dict[str, str]) -> str:
    written = ", ".join(f'"{name}": {value}' for name, value in row.items())
    return f"{{{written}}}"


def _sensible(arguments: dict[str, str], order: dict[str, int]) -> bool:
    """Whether all arguments differ, and a journey begins where was mentioned first."""
    if len(set(arguments.values())) < len(arguments):
        return False
    if not {"from", "to", "date"} <= set(arguments):
        return True
    return order[arguments["from"]] < order[arguments["to"]]


def _values(tool: str, parameter: str, texts: Sequence[str]) -> list[str]:
    """What an argument can be, each as JSON, in the order in which it was mentioned."""
    if parameter == "field":
        found: Iterable[str] = _FIELDS
    else:
        found = _found(tool, parameter, texts)
    kind = TOOLS[tool].parameters[parameter]
    written = (_written(text, kind) for text in found)
    return list(dict.fromkeys(written))


def _found(tool: str, parameter: str, texts: Sequence[str]) -> Iterator[str]:
    patterns = _FORMATS.get(parameter) or _ENDS[tool == "convert", parameter]
    for text in texts:
        names = {part for name in re.findall(_PERSON, text) for part in name.split()}
        for pattern in patterns:
            # One within another counts too: "the linen massage" has "linen massage" in it.
            mentions = (m[1] for m in re.finditer(f"(?=({pattern}))", text))
            yield from (m for m in mentions if m.split()[0] not in names or pattern == _PERSON)
    if parameter in {"answer", "text"}:
        yield from texts[1:]
        references = dict.fromkeys(r for text in texts for r in re.findall(_REFERENCE, text))
        yield from (" ".join(pair) for pair in itertools.permutations(references, 2))


def _plain(goal: str) -> str:
    """A goal with its sentences' first words in small letters: they are no names."""
    return re.sub(r"(?:^|(?<=[.:?] ))[A-Z](?=[a-z]* )", lambda m: m[0].lower(), goal)


def _texts(step: Step) -> Iterator[str]:
    yield step.observation.removeprefix("Error: ")
    yield from (value for value in step.action.arguments.values() if isinstance(value, str))


def _written(text: str, kind: type) -> str:
    value: Any = text if kind is str else kind(text)
    if kind is float and value == int(value):
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def _one_of(values: Iterable[str]) -> str:
    return f"({'|'.join(map(_escaped, values))})"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
