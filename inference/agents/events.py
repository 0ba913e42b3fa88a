"""Server-sent events, as the streams of OpenAI-compatible APIs use them: one JSON value per line.

The format is WHATWG's (HTML, section 9.2); of its fields only ``data`` means something here, and
as JSON needs no line breaks, every ``data`` line is an event of its own.
"""

from __future__ import annotations

from typing import Final

DONE: Final = b"[DONE]"
_FIELDS: Final = (b"data", b"event", b"id", b"retry", b"")


class StreamError(ValueError):
    """Bytes that are no such stream, with what was wrong."""


class EventReader:
    """Takes a stream apart as its bytes come, however they are cut.

    Args:
        most: bytes that a stream may have altogether.

    Attributes:
        done: whether the stream said that it is complete.
    """

    def __init__(self, most: int) -> None:
        self.done = False
        self._most = most
        self._seen = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; returns the events that are complete with them.

        Raises:
            StreamError: if there were too many bytes, or a line is of no known field.
        """
        self._seen += len(chunk)
        if self._seen > self._most:
            raise StreamError(f"the stream is longer than {self._most} bytes")
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        events = []
        for line in lines:
            data = _data(line.rstrip(b"\r"))
            self.done = self.done or data == DONE
            if data and not self.done:
                events.append(data)
        return events


def _data(line: bytes) -> bytes:
    """What a line has in its field ``data``; nothing for comments and other fields."""
    name, colon, value = line.partition(b":")
    if name not in _FIELDS or (line and not colon):
        raise StreamError(f"no server-sent event: {line[:80]!r}")
    return value.strip() if name == b"data" else b""
