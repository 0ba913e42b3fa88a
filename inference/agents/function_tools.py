"""Plain Python functions as tools: what they may do is declared, what they take is read off."""

from __future__ import annotations

import asyncio
import inspect
import keyword
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from .environment import Tool
from .protocol import ActionError

Function = TypeVar("Function", bound=Callable[..., Any])

_EFFECTFUL: Final = "__flyball_effectful__"
_FINAL: Final = "__flyball_final__"


def pure(function: Function) -> Function:
    """Declare that a function only looks: it may run ahead of a plan and be thrown away."""
    setattr(function, _EFFECTFUL, False)
    return function


def effectful(function: Function) -> Function:
    """Declare that a function changes something: it runs once its step is settled, in order."""
    setattr(function, _EFFECTFUL, True)
    return function


def final(function: Function) -> Function:
    """Declare that a task ends with a call of this function, besides what else it is."""
    setattr(function, _FINAL, True)
    return function


@final
@pure
def finish(answer: str) -> str:
    """Give the answer and end the task."""
    return answer


def tools(functions: Iterable[Callable[..., Any] | Tool]) -> list[Tool]:
    """Make tools of functions; ``finish(answer)`` is added where none of them ends a task.

    Args:
        functions: declared ``pure`` or ``effectful``, or tools already.

    Raises:
        TypeError: see ``tool``.
    """
    made = [each if isinstance(each, Tool) else tool(each) for each in functions]
    return made if any(each.final for each in made) else [*made, tool(finish)]


def tool(function: Callable[..., Any]) -> Tool:
    """Make a tool of a function that is declared ``pure`` or ``effectful``.

    The first paragraph of its docstring tells agents what it does. Its parameters' types, which
    may be any that msgspec knows, become a JSON schema, and arguments are held to it; ``Annotated
    [str, msgspec.Meta(description="...")]`` describes one. A parameter ``from_`` is called
    ``from``. What it returns is observed: text as it is, everything else as JSON. An ``async``
    function is awaited; another one runs in a thread, which a cancelled plan does not wait for.

    Raises:
        TypeError: if it is not declared, or a parameter has no type or one that no JSON has.
    """
    name = str(getattr(function, "__name__", function))
    effects = getattr(function, _EFFECTFUL, None)
    if effects is None:
        raise TypeError(f"{name} must be declared with @pure or @effectful")
    taken = _arguments(name, function)
    return Tool(
        name,
        _runner(function, taken),
        effectful=effects,
        final=getattr(function, _FINAL, False),
        check=_checker(name, taken),
        about=(inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " "),
        parameters=_schema(name, taken),
    )


def _arguments(name: str, function: Callable[..., Any]) -> type[msgspec.Struct]:
    """The arguments of a function as a struct, whose fields have the parameters' names."""
    hints = get_type_hints(function, include_extras=True)
    fields = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise TypeError(f"{name}: {parameter} cannot be given by name")
        if parameter.name not in hints:
            raise TypeError(f"{name}: the parameter {parameter.name} needs a type")
        fields.append((parameter.name, hints[parameter.name], _field(parameter)))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


def _field(parameter: inspect.Parameter) -> Any:
    plain = parameter.name.removesuffix("_")
    written = plain if keyword.iskeyword(plain) else None
    if parameter.default is parameter.empty:
        return msgspec.field(name=written)
    if isinstance(parameter.default, list | dict | set):
        value = parameter.default
        return msgspec.field(default_factory=value.copy, name=written)
    return msgspec.field(default=parameter.default, name=written)


def _schema(name: str, taken: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of arguments, an object at its top as providers want it."""
    try:
        _, components = msgspec.json.schema_components([taken], ref_template="#/$defs/{name}")
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error
    schema: dict[str, Any] = {k: v for k, v in components.pop(name).items() if k != "title"}
    return schema | ({"$defs": components} if components else {})


def _checker(name: str, taken: type[msgspec.Struct]) -> Callable[[Mapping[str, Any]], None]:
    def check(arguments: Mapping[str, Any]) -> None:
        try:
            msgspec.convert(arguments, taken)
        except msgspec.ValidationError as error:
            names = ", ".join(taken.__struct_encode_fields__) or "no arguments"
            raise ActionError(f"{name} takes {names}: {error}") from error

    return check


def _runner(function: Callable[..., Any], taken: type[msgspec.Struct]) -> Callable[..., Any]:
    async def run(**arguments: Any) -> str:
        given = msgspec.convert(arguments, taken)
        values = {each: getattr(given, each) for each in taken.__struct_fields__}
        if inspect.iscoroutinefunction(function):
            return _observed(await function(**values))
        return _observed(await asyncio.to_thread(function, **values))

    return run


def _observed(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
