"""``flyball bench``: measurements that anyone can repeat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ...benchmarks.bench import NAMES
from . import options
from .console import CliError, refusals, say

if TYPE_CHECKING:
    from rich.table import Table


def bench(
    name: Annotated[str, typer.Argument(help="; ".join(f"{n}: {a}" for n, a in NAMES.items()))],
    json: Annotated[Path | None, typer.Option(help="File for the result, as JSON.")] = None,
    quick: Annotated[bool, typer.Option(help="A rough answer in a minute or two.")] = False,
    seed: options.Seed = 0,
    engine: Annotated[
        str | None,
        typer.Option(
            help="For depth and slo: vllm or simulator, which it is by default. For plan: replay, "
            "which it is by default, or live."
        ),
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option(
            help="For depth: with commas; see `flyball policy list`. Default: all peers. Live, "
            "fixed?depth=K among them: those depths alone instead of all. Simulated, also warm: "
            "ours with a warm start."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Of the traffic, simulated, or of the plans; 5 by default."),
    ] = None,
    trace: Annotated[
        list[Path] | None,
        typer.Option(
            help="Arrivals (Azure, BurstGPT, Mooncake): for depth, simulated; for slo. "
            "One planning trace: for plan."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Of every trace: for depth, simulated, all by default; for slo 600. Live, slo: "
            "of every arm; 40 by default."
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="For vllm: depth's visits to every phase, 4 by default, resumed ones among them; "
            "the turns of slo's arms, 4 by default. For drafters as for depth.",
        ),
    ] = None,
    speeds: Annotated[
        str | None, typer.Option(help="For depth, vllm: of ours, with commas. Default: 0,0.5,1.")
    ] = None,
    tasks: Annotated[
        int | None,
        typer.Option(min=1, help="For plan, live: run by every arm; 100 by default, quick 20."),
    ] = None,
    cold: Annotated[
        float | None,
        typer.Option(
            help="For depth, vllm: seconds that each policy that learns decides before anything is "
            "compared; 120 by default. For drafters: the learned choice, 60 by default."
        ),
    ] = None,
    guard: Annotated[
        bool,
        typer.Option(
            help="For depth, vllm: ours under its guard. Off by default: what is compared is the "
            "policy, without the guard's reference arm and fallback."
        ),
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="For depth, vllm, and drafters: file of what an earlier run measured (it names "
            "it), to go on with until there are --rounds; with the same options."
        ),
    ] = None,
    loads: Annotated[
        str | None,
        typer.Option(
            help="For slo: with commas, over what the engine serves without speculation. Default: "
            "0.25,0.5,0.75,0.9,1,1.25,1.5; live 0.9."
        ),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(
            help="For slo: with commas, of the tight objective per output token, over its 90th "
            "percentile without speculation. Default: 0.8,1,1.2; live 1."
        ),
    ] = None,
    tpot_ms: Annotated[
        float | None,
        typer.Option(
            help="For slo: the tight objective per output token instead of scales, milliseconds."
        ),
    ] = None,
    ttft_ms: Annotated[
        float | None,
        typer.Option(help="For slo: the tight objective to the first token; 1000 by default."),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="For depth and slo: file of `flyball profile`; the simulated engine is of it. Its "
            "held-out error is then the figure simulator_step_error of depth."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="For slo: the simulated engine, gpu-7b by default; embedded: a live run in "
            "virtual time, with the embedded models' step times and a live run's windows."
        ),
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="For depth, slo and plan: folder.")] = None,
) -> None:
    """Measure something with the embedded models or in simulation, and print the figures.

    The file has "bench", "machine", "versions", "seed", "arms" and "figures"; a figure with an
    interval has NAME_low and NAME_high beside it.

    Example: flyball bench overhead --quick --json overhead.json

    Example: flyball bench depth --engine simulator --trace azure_conv.csv --seeds 5

    Example: flyball bench plan --trace openagi_planning.jsonl --json plan.json

    Example: flyball bench plan --engine live --tasks 40 --plots plots

    Example: flyball bench drafters --json drafters.json

    Example: flyball bench slo --trace azure_conv.csv --trace azure_code.csv --json slo.json

    A live run of depth writes what it measured after every visit, to a file beside the plots or the
    result, and gives figures of that much if it ends early. Later, or in another sitting:

    Example: flyball bench depth --engine vllm --rounds 4 --resume tally__0__20261121-120000.json
    """
    if name not in NAMES:
        raise CliError(f"no benchmark {name!r}; there are {', '.join(NAMES)}")
    given: dict[str, Any] = {
        "engine": engine,
        "policies": tuple(policies.split(",")) if policies else None,
        "seeds": seeds,
        "traces": tuple(trace) if trace else None,
        "seconds": seconds,
        "rounds": rounds,
        "speeds": _numbers("speeds", speeds),
        "loads": _numbers("loads", loads),
        "scales": _numbers("scales", scales),
        "tpot_ms": tpot_ms,
        "ttft_ms": ttft_ms,
        "cold": cold,
        "tasks": tasks,
        "guard": guard or None,
        "resume": resume,
        "profile": profile,
        "preset": preset,
        "plots": plots,
    }
    settings: dict[str, Any] = {k: value for k, value in given.items() if value is not None}
    _check_settings(name, settings)
    from rich.console import Console

    from ...benchmarks.bench import run
    from ...benchmarks.engines import BenchError
    from ...benchmarks.result import write
    from ...inference.vllm.server import EngineError

    try:
        with refusals(), _kept(json):
            if name in FOLDERED and (plots or json):
                settings["folder"] = plots or (json or Path()).parent
            if name == "depth":
                found = _depth(quick, seed, settings)
            else:
                found = run(name, quick=quick, seed=seed, progress=say, **settings)
            Console().print(figures(found["figures"]))
            if json is not None:
                write(json, found)
                say(f"written to {json}")
    except (BenchError, EngineError) as e:
        raise CliError(str(e)) from e


FOLDERED: Final = ("depth", "slo", "drafters")
"""Benchmarks that leave files beside their result."""

_OPTION: Final = {"traces": "trace", "tpot_ms": "tpot-ms", "ttft_ms": "ttft-ms"}
"""Names of options that are another's on the command line."""

_SHARED: Final = {"engine": None, "seeds": "simulator", "profile": None, "plots": None}

_SETTINGS: Final[dict[str, dict[str, str | None]]] = {
    "depth": {
        **_SHARED,
        **dict.fromkeys(("policies", "speeds", "cold", "guard", "resume")),
        "rounds": "vllm",
        "seconds": "simulator",
        "traces": "simulator",
    },
    "slo": {
        **_SHARED,
        **dict.fromkeys(("seconds", "traces", "loads", "scales", "tpot_ms", "ttft_ms")),
        "rounds": "vllm",
        "profile": "simulator",
        "preset": "simulator",
    },
    "drafters": dict.fromkeys(("rounds", "cold", "resume")),
    "plan": dict.fromkeys(("engine", "seeds", "traces", "plots", "tasks")),
}
"""Options of each benchmark, and the engine that alone has them; None for both."""


def _check_settings(name: str, settings: dict[str, Any]) -> None:
    """Refuse options that would be left unused, and plots that could not be drawn."""
    own = _SETTINGS.get(name, {})
    engine = settings.get("engine", "simulator")
    for setting in sorted(settings):
        if setting not in own:
            others = " and ".join(f"`{n}`" for n, o in _SETTINGS.items() if setting in o)
            raise CliError(f"--{_option(setting)} is no option of `{name}` but of {others}")
        only = own[setting] or engine
        if only != engine:
            raise CliError(f"--{_option(setting)} is for --engine {only}, not for {engine}")
    plots = settings.get("plots")
    if plots is not None and plots.exists() and not plots.is_dir():
        raise CliError(f"--plots must name a folder; {plots} is none")


def _option(setting: str) -> str:
    return _OPTION.get(setting, setting)


def _depth(quick: bool, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """``bench depth``, with the learner that it compares."""
    from ...benchmarks.bench import run
    from ...benchmarks.depth.figures import WARM
    from ...benchmarks.depth.simulated import profiled
    from ...inference.profile import load_profile
    from ...inference.simulator.presets import cpu
    from ...policies.catalogue.registry import make_policy
    from ...policies.prices import compute_prices
    from ..benchmark import Maker, ingest_per_second

    for spec in settings.get("policies", ()):
        if spec != WARM:  # refused before anything is run
            make_policy(spec, profiled(cpu(), compute_prices(0.05)))
    if "profile" in settings:
        load_profile(settings["profile"])
    with TemporaryDirectory() as folder:
        make = Maker(Path(folder))
        found = run("depth", quick=quick, seed=seed, progress=say, make=make, **settings)
    found["figures"]["ingest_per_second"] = ingest_per_second()
    return found


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers with commas; None for none.

    Raises:
        CliError: if they are none.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise CliError(
            f"--{option} must be numbers with commas, such as 0,0.5,1, not {text!r}"
        ) from None


@contextmanager
def _kept(file: Path | None) -> Iterator[None]:
    """A place for the result, tried before minutes are spent; no empty file is left there.

    Raises:
        CliError: if it is a folder.
        OSError: if it cannot be written to.
    """
    if file is None:
        yield
        return
    if file.is_dir():
        raise CliError(f"--json must name a file; {file} is a folder")
    file.parent.mkdir(parents=True, exist_ok=True)
    made = not file.exists()
    file.touch()
    try:
        yield
    finally:
        if made and file.is_file() and not file.stat().st_size:
            file.unlink()


def figures(found: dict[str, Any]) -> Table:
    """Figures with their intervals, as a table."""
    from rich.table import Table

    table = Table("figure", "value", "95 % interval", box=None, pad_edge=False)
    for name, value in found.items():
        if name.endswith(("_low", "_high")):
            continue
        low, high = found.get(f"{name}_low"), found.get(f"{name}_high")
        interval = f"{low:.4g} to {high:.4g}" if low is not None and high is not None else ""
        table.add_row(name, f"{value:.4g}", interval)
    return table
