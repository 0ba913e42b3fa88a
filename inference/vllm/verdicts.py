"""Hears, in vLLM's API server, what the engine says of requests with objectives.

The engine's verdict comes with a request's last output, among its ``kv_transfer_params``. A stream
does not show these to its client, and a client has no use for them. So it is taken out where the
API server receives outputs: at the engine client's ``generate``, which every endpoint calls. Which
request an output is of is known by the context variable that its middleware set, as tasks inherit
the context of the task that made them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, Final

from ..objectives import VERDICT, Verdict, without_verdict

LISTENING: Final[ContextVar[Verdict | None]] = ContextVar("flyball_verdict", default=None)
"""Where the verdict on the request that is being served goes; None for a request without one."""

Generate = Callable[..., AsyncGenerator[Any, None]]


class Listener:
    """A ``generate`` that hears verdicts; other requests' outputs do not pass through it.

    Args:
        generate: the engine client's own.
    """

    def __init__(self, generate: Generate) -> None:
        self._generate = generate

    def __call__(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        """Outputs of a request, as the engine client's ``generate`` gives them."""
        outputs = self._generate(*args, **kwargs)
        verdict = LISTENING.get()
        return outputs if verdict is None or not verdict.wanted else _heard(outputs, verdict)


async def _heard(outputs: AsyncGenerator[Any, None], verdict: Verdict) -> AsyncGenerator[Any, None]:
    stream = object()  # one of several, where there are several prompts
    # Closed at once where the client is gone: that is how vLLM learns that it is to stop.
    async with aclosing(outputs):
        async for output in outputs:
            parameters = getattr(output, "kv_transfer_params", None)
            if parameters and VERDICT in parameters:
                choice = output.outputs[0].index if output.outputs else 0
                verdict.hear((stream, choice), parameters[VERDICT])
                output.kv_transfer_params = without_verdict(parameters)
            yield output


def listen(client: Any) -> None:
    """Hear the verdicts of an engine client from here on; one without ``generate`` stays silent."""
    generate = getattr(client, "generate", None)
    if generate is not None and not isinstance(generate, Listener):
        client.generate = Listener(generate)
