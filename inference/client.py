"""A client of the controller's HTTP API."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

import httpx

DEFAULT_URL: Final = "http://127.0.0.1:8757"


class ControllerError(RuntimeError):
    """A command that the controller refused, or did not answer, with the reason.

    Attributes:
        status: HTTP's code; 0 where nobody answered.
    """

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


class ControllerClient:
    """Commands to a running controller.

    Args:
        url: where its HTTP API is; ``http://`` may be left out.
        token: bearer token; None takes ``FLYBALL_TOKEN``, where it is set.
        timeout: seconds to wait for an answer; a new reward may take a while to be learned.
    """

    def __init__(
        self, url: str = DEFAULT_URL, token: str | None = None, timeout: float = 65.0
    ) -> None:
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        token = token or os.environ.get("FLYBALL_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Proxies of the environment are for the world outside, not for our own controller.
        self._http = httpx.Client(headers=headers, timeout=timeout, trust_env=False)

    def status(self) -> dict[str, Any]:
        """Everything: speed, reward, learner, engines."""
        return self._call("GET", "/v1/status")

    def knob(self) -> float:
        """The speed, in [0, 1]."""
        return float(self._call("GET", "/v1/knob")["speed"])

    def set_knob(self, speed: float) -> float:
        """Set the speed for every engine: 0 = cheapest, 1 = fastest."""
        return float(self._call("PUT", "/v1/knob", {"speed": speed})["speed"])

    def reward(self) -> str:
        """The name of the reward in force."""
        return str(self._call("GET", "/v1/reward")["reward"])

    def plan_reward(self) -> str | None:
        """The name of the reward that planners serve; None while there are none."""
        return self._call("GET", "/v1/reward").get("plan_reward")

    def set_reward(self, spec: str) -> str:
        """Use a reward: a name or ``pkg.module:Class``, found by the controller."""
        return str(self._call("PUT", "/v1/reward", {"reward": spec})["reward"])

    def set_mode(self, engine: str, mode: str) -> str:
        """Set an engine's mode: off, observe, shadow, apply or freeze."""
        return str(self._call("PUT", f"{_engine(engine)}/mode", {"mode": mode})["mode"])

    def set_policy(self, engine: str, policy: str) -> str:
        """Set an engine's policy: ``learned``, or one of the catalogue such as ``ucb?c=0.5``."""
        return str(self._call("PUT", f"{_engine(engine)}/policy", {"policy": policy})["policy"])

    def set_drafter(self, engine: str, drafter: str | None) -> str | None:
        """Say who drafts on an engine: one of its drafters, ``learned`` or ``random``.

        None lets it go by what it was started with.
        """
        answer = self._call("PUT", f"{_engine(engine)}/drafter", {"drafter": drafter})
        return None if answer["drafter"] is None else str(answer["drafter"])

    def pin(self, engine: str, depth: int | None) -> int:
        """Pin an engine's depth, or let it go with None; the pin's number."""
        return int(self._call("PUT", f"{_engine(engine)}/pin", {"depth": depth})["pin"])

    def snapshots(self) -> list[dict[str, Any]]:
        """Every snapshot in the registry, oldest first."""
        return list(self._call("GET", "/v1/snapshots")["snapshots"])

    def promote(self, number: int) -> int:
        """Give every engine a snapshot of the registry; its number."""
        return int(self._call("POST", f"/v1/snapshots/{number}/promote")["snapshot"])

    def checkpoint(self) -> str:
        """Keep everything now; the folder of the run."""
        return str(self._call("POST", "/v1/checkpoint")["run"])

    def wait_ready(self, seconds: float) -> None:
        """Wait until commands are answered.

        Raises:
            ControllerError: if they are not, in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(ControllerError):
                self._call("GET", "/readyz")
                return
            time.sleep(0.1)
        raise ControllerError(f"no controller was ready at {self.url} within {seconds:g} s")

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> ControllerClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            answer = self._http.request(method, self.url + path, json=body)
            value = answer.json()
        except httpx.TimeoutException:
            raise ControllerError(f"the controller at {self.url} did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise ControllerError(
                f"no controller answers at {self.url} ({e}); `flyball serve` starts one"
            ) from None
        except ValueError:
            raise ControllerError(f"{self.url} is not a controller: it answers no JSON") from None
        if not isinstance(value, dict):
            raise ControllerError(f"{self.url} is not a controller: it answers {value!r:.80}")
        if answer.status_code != httpx.codes.OK:
            reason = value.get("error")
            if not isinstance(reason, str):
                raise ControllerError(
                    f"{self.url} is not a controller: it answers HTTP {answer.status_code}"
                )
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                reason += "; what is in FLYBALL_TOKEN is given"
            raise ControllerError(reason, answer.status_code)
        return value


def _engine(name: str) -> str:
    return f"/v1/engines/{quote(name, safe='')}"
