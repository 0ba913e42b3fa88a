"""What the target has emitted, from where it is sampled to where drafters can read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from vllm.sampling_params import SamplingParams

_MOST_PENDING: Final = 64  # steps whose tokens nobody has asked for


@dataclass(slots=True)
class _Sampled:
    """Tokens that a step sampled, on their way from the device.

    Attributes:
        requests: of the rows.
        discarded: whether a row's are not to be kept, shape (rows,).
        tokens: shape (rows, 1 + drafts); what was rejected is no token of the vocabulary.
        copied: when they have arrived; None for at once.
    """

    requests: list[str]
    discarded: npt.NDArray[np.bool_]
    tokens: torch.Tensor
    copied: torch.Event | None

    def arrived(self, wait: bool) -> bool:
        """Whether they are here, after waiting for them if so told."""
        if self.copied is None:
            return True
        if not (wait or self.copied.query()):
            return False
        self.copied.synchronize()
        return True


@dataclass(slots=True)
class _Ending:
    """Where a request's output ends.

    A step that ends it may sample more, and where steps overlap the next one does: nobody is
    given that, and drafters are to learn nothing from it.

    Attributes:
        left: tokens that it may emit yet; None for no bound.
        stops: tokens that end it.
    """

    left: int | None
    stops: frozenset[int]

    def cut(self, tokens: list[int]) -> list[int]:
        """Take tokens that were sampled; returns those that are emitted."""
        tokens = tokens[: self.left]
        last = next((at for at, token in enumerate(tokens) if token in self.stops), None)
        if last is not None:
            tokens, self.left = tokens[: last + 1], 0
        elif self.left is not None:
            self.left -= len(tokens)
        return tokens


class Emitted:
    """Each request's tokens, prompt and outputs, as far as they have arrived.

    Args:
        vocabulary: tokens of the target.
    """

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._contexts: dict[str, list[int]] = {}
        self._endings: dict[str, _Ending] = {}
        self._pending: list[_Sampled] = []

    def begin(
        self, request: str, prompt: Sequence[int], parameters: SamplingParams | None = None
    ) -> None:
        """A request is new.

        Args:
            request: its name.
            prompt: its tokens.
            parameters: say where its output ends; None for nowhere that is known.
        """
        self._contexts[request] = [*prompt]
        if parameters is not None:
            # Of some versions of vLLM only the request itself knows the end of text.
            eos = getattr(parameters, "eos_token_id", None)
            stops = {*(parameters.stop_token_ids or ()), eos}
            known = frozenset(token for token in stops if token is not None)
            self._endings[request] = _Ending(parameters.max_tokens, known)

    def end(self, request: str) -> None:
        """A request has ended."""
        self._contexts.pop(request, None)
        self._endings.pop(request, None)

    def context(self, request: str) -> Sequence[int]:
        """A request's tokens; none of one that is not known."""
        return self._contexts.get(request, ())

    def sampled(
        self, requests: list[str], discarded: npt.NDArray[np.bool_], tokens: torch.Tensor
    ) -> None:
        """A step sampled tokens.

        Args:
            requests: of the rows.
            discarded: whether a row's are not to be kept, shape (rows,).
            tokens: shape (rows, 1 + drafts).
        """
        import torch

        copied = None
        if tokens.device.type != "cpu":
            tokens = tokens.to("cpu", non_blocking=True)
            copied = torch.Event()
            copied.record()
        self._pending.append(_Sampled([*requests], discarded.copy(), tokens, copied))

    def take(self, wait: bool) -> Iterator[tuple[str, list[int]]]:
        """Requests and what was emitted for them, in order, once.

        Args:
            wait: for what has not arrived yet.
        """
        while self._pending and self._pending[0].arrived(
            wait or len(self._pending) > _MOST_PENDING
        ):
            step = self._pending.pop(0)
            rows = zip(step.requests, step.tokens.tolist(), step.discarded.tolist(), strict=True)
            for request, row, discarded in rows:
                if not discarded:
                    tokens = [token for token in row if 0 <= token < self._vocabulary]
                    ending = self._endings.get(request)
                    if ending is not None:
                        tokens = ending.cut(tokens)
                    if request in self._contexts:
                        self._contexts[request] += tokens
                    yield request, tokens
