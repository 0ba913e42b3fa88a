"""One answer as it comes in: bytes to a reply, with its call kept up to date."""

from __future__ import annotations

import asyncio

from .events import EventReader, StreamError
from .protocol import AgentError, Call
from .reply import Charged, Part, Reply, decode_part
from .retrying import RetryableError


class Reception:
    """Takes in what an endpoint sends.

    Args:
        call: to be kept up to date.
        started: when the call was, by the loop's time.
        most: bytes that it may have.

    Attributes:
        reply: so far.
        begun: whether anything generated has come.
    """

    def __init__(self, call: Call, started: float, most: int) -> None:
        self.reply = Reply()
        self.begun = False
        self._call = call
        self._most = most
        self._events: EventReader | None = None
        self._whole = bytearray()
        self._started = started

    def open(self, streamed: bool) -> None:
        """Say that an answer begins.

        Args:
            streamed: whether it is a stream of events; else it is one JSON value.
        """
        self._events = EventReader(self._most) if streamed else None

    @property
    def done(self) -> bool:
        """Whether the stream said that it is complete."""
        return self._events is not None and self._events.done

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            AgentError: if they are not what such an answer is made of.
        """
        try:
            if self._events is None:
                self._whole += chunk
                if len(self._whole) > self._most:
                    raise StreamError(f"the answer is longer than {self._most} bytes")
                return
            for event in self._events.feed(chunk):
                self._take(event)
        except StreamError as error:
            raise AgentError(f"no answer that can be read: {error}") from error

    def end(self) -> Reply:
        """Say that nothing more comes.

        Returns:
            The whole reply.

        Raises:
            AgentError: if it is not whole, or was cut off or withheld by the endpoint.
        """
        if self._events is None:
            self._take(bytes(self._whole))
        if not self.reply.finish and not self.done:
            if self._events is not None and not self.begun:
                raise RetryableError("the connection ended before the answer began")
            raise AgentError(f"the answer broke off after {self._call.usage.completion} tokens")
        if self.reply.finish == "length":
            raise AgentError(
                f"the answer was cut off after {self._call.usage.completion} tokens, the most that "
                "were asked for; a larger `max_tokens` leaves room for it"
            )
        if self.reply.finish == "content_filter":
            raise AgentError("the endpoint withheld the answer (content_filter)")
        return self.reply

    def _take(self, data: bytes) -> None:
        try:
            part = decode_part(data)
            tokens = self.reply.add(part)
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            raise AgentError(f"malformed JSON: {error}: {_shown(data)}") from error
        if part.error is not None:
            raise AgentError(f"the endpoint failed: {_message(part)}")
        if tokens and not self.begun:
            self.begun = True
            self._call.first = asyncio.get_running_loop().time() - self._started
        self._call.usage.completion += tokens
        if part.usage is not None:
            self._charge(part.usage)

    def _charge(self, charged: Charged) -> None:
        """Take over the endpoint's own count, which ours only foreshadows."""
        usage = self._call.usage
        usage.prompt = charged.prompt_tokens or usage.prompt
        usage.cached = charged.cached
        usage.completion = charged.completion_tokens or 0


def _message(part: Part) -> str:
    if isinstance(part.error, dict):
        return str(part.error.get("message", part.error))[:200]
    return str(part.error)[:200]


def _shown(data: bytes) -> str:
    return data[:80].decode(errors="backslashreplace")
