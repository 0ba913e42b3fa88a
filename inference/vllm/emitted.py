"""What the target has emitted, from where it is sampled to where drafters can read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

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


class Emitted:
    """Each request's tokens, prompt and outputs, as far as they have arrived.

    Args:
        vocabulary: tokens of the target.
    """

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._contexts: dict[str, list[int]] = {}
        self._pending: list[_Sampled] = []

    def begin(self, request: str, prompt: Sequence[int]) -> None:
        """A request is new."""
        self._contexts[request] = [*prompt]

    def end(self, request: str) -> None:
        """A request has ended."""
        self._contexts.pop(request, None)

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
                    if request in self._contexts:
                        self._contexts[request] += tokens
                    yield request, tokens
