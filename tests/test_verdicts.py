"""What the adapter says of requests with objectives, with vLLM's last output of each."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from flyball.inference.attainment import Attained
from flyball.inference.choosing import DrafterChooser
from flyball.inference.flight import Flight
from flyball.inference.governor import Governor
from flyball.inference.reports import EngineInfo
from flyball.inference.vllm.adapter import Adapter
from flyball.inference.vllm.flights import Landing

AMPLE = {"flyball_slo_ttft_ms": 6e5, "flyball_slo_tpot_ms": 6e4, "flyball_slo_class": "loose"}
IMPOSSIBLE = {"flyball_slo_tpot_ms": 0.1}


class Outputs:
    """What vLLM's scheduler hands over when steps land, around a real adapter and governor."""

    def __init__(self, chooser: DrafterChooser | None = None) -> None:
        info = EngineInfo(
            engine="e", target="t", draft="d", k_max=6, static_depth=2, parameter_ratio=0.05
        )
        self.governor = Governor(info, lambda _: True, chooser=chooser)
        self.adapter = Adapter(self.governor, None, 8)
        self.clock = 0.0

    def admit(self, arguments: dict[str, Any], stop: list[str] | None = None) -> None:
        parameters = SimpleNamespace(extra_args=arguments, stop=stop or [])
        asked = SimpleNamespace(
            request_id="r", sampling_params=parameters, max_tokens=50, arrival_time=time.time()
        )
        self.adapter.admit(asked)  # type: ignore[arg-type]
        self.clock = self.adapter._states["r"].arrived

    def land(self, tokens: int, finish: str | None = None, theirs: Any = None) -> Any:
        """The ``kv_transfer_params`` of an output that came a second later."""
        self.clock += 1.0
        output = SimpleNamespace(
            request_id="r",
            new_token_ids=[0] * tokens,
            finish_reason=finish,
            kv_transfer_params=theirs,
        )
        flight = Flight({}, (), 0, 0, 0)
        flight.launched = self.clock - 0.5
        outputs = {0: SimpleNamespace(outputs=[output])}
        scheduled = SimpleNamespace(scheduled_spec_decode_tokens={}, num_invalid_spec_tokens=None)
        came = SimpleNamespace(req_id_to_index={}, sampled_token_ids=[])
        landing = Landing(flight, self.clock, scheduled, came)  # type: ignore[arg-type]
        self.adapter.land(SimpleNamespace(running=["r"]), landing, outputs)  # type: ignore[arg-type]
        assert self.governor.faults == 0
        return output.kv_transfer_params

    def ended(self) -> None:
        """The next step tells that the request is over."""
        output = SimpleNamespace(finished_req_ids={"r"}, total_num_scheduled_tokens=0)
        self.adapter.launch(None, output, 0)  # type: ignore[arg-type]
        self.adapter.prepare(SimpleNamespace(running=[], waiting=[]))  # type: ignore[arg-type]
        assert self.governor.faults == 0
        assert not self.adapter._states


def test_the_last_output_says_how_a_request_was_served() -> None:
    outputs = Outputs()
    outputs.admit(AMPLE)
    assert outputs.land(1) is None
    assert outputs.land(2, "stop") == {"flyball": {"slo": "met"}}
    outputs.ended()
    outputs.admit(IMPOSSIBLE)
    outputs.land(1)
    said = {"slo": "best effort", "missed": "tpot"}
    assert outputs.land(2, "length", {"remote_host": "h"}) == {"remote_host": "h", "flyball": said}
    outputs.ended()
    assert outputs.governor.beat().slo == {
        "loose": Attained(1, 1, 1, 1, 1, 0),
        "": Attained(1, 1, 0, 1, 0, 1),
    }


def test_how_long_a_request_may_become_is_known() -> None:
    outputs = Outputs()
    outputs.admit(AMPLE)
    assert outputs.adapter._states["r"].promised[-1] == 50.0


def test_what_the_scheduler_gave_up_is_said() -> None:
    outputs = Outputs()
    outputs.admit(AMPLE)
    outputs.adapter._states["r"].missed = "ttft"
    assert outputs.land(3, "stop")["flyball"] == {"slo": "best effort", "missed": "ttft"}
    # It was in time all the same.
    assert outputs.governor.beat().slo == {"loose": Attained(1, 1, 1, 1, 1, 1)}


def test_every_output_says_it_where_a_stop_string_may_end_the_request() -> None:
    outputs = Outputs()
    outputs.admit(IMPOSSIBLE, stop=["."])
    assert outputs.land(1) == {"flyball": {"slo": "met"}}
    assert outputs.land(1) == {"flyball": {"slo": "best effort", "missed": "tpot"}}
    assert outputs.governor.beat().slo == {}
    outputs.ended()
    assert outputs.governor.beat().slo == {"": Attained(1, 1, 0, 1, 0, 1)}
    # Where the engine itself came to the end, it is counted once.
    outputs.admit(AMPLE, stop=["."])
    outputs.land(1, "length")
    outputs.ended()
    assert outputs.governor.beat().slo["loose"].finished == 1


def test_a_request_that_was_broken_off_is_not_counted() -> None:
    outputs = Outputs()
    outputs.admit(AMPLE)
    outputs.land(1)
    outputs.ended()
    outputs.admit(AMPLE)
    assert outputs.land(0, "error") is None
    outputs.ended()
    assert outputs.governor.beat().slo == {}


@pytest.mark.parametrize(
    "arguments", [{}, {"flyball_class": "code"}, {"flyball_slo_class": "none"}]
)
def test_nothing_is_said_of_requests_without_an_objective(arguments: dict[str, Any]) -> None:
    outputs = Outputs()
    outputs.admit(arguments, stop=["."])
    theirs = {"remote_host": "h"}
    assert outputs.land(1, theirs=theirs) is theirs
    assert outputs.land(1, "stop") is None


@pytest.mark.parametrize("drafters", [(), ("draft", "x")])
def test_who_promises_nothing_is_counted_in_its_class(drafters: tuple[str, ...]) -> None:
    """What came of it is told late, as nobody hurries; it is not forgotten before that."""
    outputs = Outputs(DrafterChooser(drafters) if drafters else None)
    outputs.admit({"flyball_slo_class": "none"})
    outputs.land(1)
    outputs.land(2, "stop")
    assert outputs.governor.beat().slo == {}
    outputs.ended()
    assert outputs.governor.beat().slo == {"none": Attained(1, 1, 1, 1, 1, 0)}
