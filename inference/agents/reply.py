"""What an OpenAI-compatible endpoint answers, put together from its parts as they come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]

MOST_CALLS: Final = 128
"""Tool calls that one answer may have."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: Count | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float


class _Logprobs(msgspec.Struct):
    """Of a chat: ``content``. Of a plain completion: ``tokens`` and ``token_logprobs``."""

    content: list[_Token] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None

    def pairs(self) -> list[tuple[str, float]]:
        if self.content is not None:
            return [(token.token, token.logprob) for token in self.content]
        pairs = zip(self.tokens or (), self.token_logprobs or (), strict=False)
        return [(token, math.nan if value is None else value) for token, value in pairs]


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    text: str | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: Count | None = None


class Charged(msgspec.Struct):
    """Tokens, as the endpoint counts them.

    Attributes:
        prompt_tokens: of the prompt, the cached ones among them.
        completion_tokens: generated.
        prompt_tokens_details: has those that were read from a cache, where the endpoint says.
    """

    prompt_tokens: Count = 0
    completion_tokens: Count | None = 0
    prompt_tokens_details: _Details | None = None

    @property
    def cached(self) -> int:
        """Prompt tokens that were read from a cache; 0 where the endpoint does not say."""
        details = self.prompt_tokens_details
        return min(details.cached_tokens or 0, self.prompt_tokens) if details else 0


class Part(msgspec.Struct):
    """One event of a stream, or a whole answer.

    Attributes:
        choices: the first one counts; none in the event that has the usage alone.
        usage: tokens so far, where the endpoint says.
        error: what went wrong at the endpoint in the midst of a stream.
    """

    choices: list[_Choice] = []
    usage: Charged | None = None
    error: Any = None


decode_part = msgspec.json.Decoder(Part).decode


@dataclass(slots=True)
class ToolCall:
    """A call of a tool as it was written: the arguments are JSON, or should be."""

    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Reply:
    """An answer so far.

    Attributes:
        text: what was written as text.
        calls: of tools, in the order in which they were begun.
        finish: why it ended, such as "stop", "length" or "tool_calls"; "" before it did.
        tokens: texts of its tokens and their natural log-probabilities, where they were given.
    """

    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finish: str = ""
    tokens: list[tuple[str, float]] = field(default_factory=list)

    def add(self, part: Part) -> int:
        """Add what came; returns about how many tokens it was, 0 for nothing that is generated.

        Where the endpoint tells no log-probabilities, a part that has anything counts as one.

        Raises:
            ValueError: if it names a tool call that cannot be.
        """
        if not part.choices:
            return 0
        choice = part.choices[0]
        message = choice.delta or choice.message or _Message()
        self.finish = choice.finish_reason or self.finish
        pieces = (choice.text, message.content, message.reasoning_content, message.tool_calls)
        self.text += (choice.text or "") + (message.content or "")
        for at, call in enumerate(message.tool_calls or ()):
            self._extend(at if call.index is None else call.index, call.function or _Function())
        pairs = choice.logprobs.pairs() if choice.logprobs else []
        self.tokens += pairs
        return (len(pairs) or 1) if any(pieces) else 0

    def logprob(self, begin: int) -> float:
        """Mean log-probability of the tokens of the text from a position on.

        Args:
            begin: position in ``text``; a token that reaches beyond it counts.

        Returns:
            NaN where the endpoint told none, or their texts are not those of the answer.
        """
        values, at = [], 0
        for token, value in self.tokens:
            at += len(token)
            if at > begin:
                values.append(value)
        return sum(values) / len(values) if values else math.nan

    def _extend(self, index: int, function: _Function) -> None:
        if index > min(len(self.calls), MOST_CALLS - 1):
            raise ValueError(f"tool call {index} begins where there are {len(self.calls)}")
        if index == len(self.calls):
            self.calls.append(ToolCall())
        self.calls[index].name += function.name or ""
        self.calls[index].arguments += function.arguments or ""
