"""What ``flyball serve`` was asked for, checked before anything is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..envs.rewards import load_reward
from ..inference import identity, profile
from ..inference.address import parse_address
from ..inference.drafters.catalogue import parse as parse_drafters
from ..inference.link import check_keys
from ..inference.models import family
from ..inference.reports import check_engine_name
from ..inference.settings import chain, from_environment, suffix_memory
from ..policies.prices import price_list
from ..policies.slo import SloError, load_classes
from ..policies.spaces import MAX_DEPTH, check_speed
from .duty import Duty
from .http import parse_http
from .runs import RunLock, new_run
from .security import ServerKeys, check_exposure, load_token
from .supervise import ControllerProcess, check_ports
from .vllm_options import check_extra, find_cores
from .warm_start import check_start

if TYPE_CHECKING:
    from ..inference.vllm.server import EngineProcess


@dataclass(frozen=True)
class ServeOptions:
    """Options of ``flyball serve``; its help says what each is."""

    model: Path | None
    draft: Path | None
    k_max: int
    static_depth: int
    dtype: str
    port: int
    engine: str
    engine_cores: str | None
    controller: str | None
    address: str
    http: str
    run: Path | None
    reward: str | None
    speed: str | None
    prices: str
    profile: Path | None
    start: Path | None
    seed: int
    learner_share: float
    keys: Path | None
    token_file: Path | None
    extra: tuple[str, ...]
    guard: bool = True
    slo_classes: Path | None = None
    drafters: str = ""
    suffix_store: Path | None = None
    chain: str = ""


def check(options: ServeOptions) -> tuple[EngineProcess, ControllerProcess | None]:
    """The children that serve, none of them started.

    Raises:
        ValueError: saying what is wrong and what would be right.
    """
    target, draft = _models(options)
    if not 1 <= options.k_max <= MAX_DEPTH:
        raise ValueError(f"--k-max must be in [1, {MAX_DEPTH}], not {options.k_max}")
    if not 0 <= options.static_depth <= options.k_max:
        raise ValueError(
            f"--static-depth must be in [0, {options.k_max}], up to --k-max, not "
            f"{options.static_depth}"
        )
    check_engine_name(options.engine)
    identity.check_dtype(options.dtype)
    check_extra(options.extra)
    if options.slo_classes is not None:
        _check_classes(options.slo_classes)
    _check_worker(options)
    _check_drafters(options, target)
    cores = find_cores(options.engine_cores)
    _check_profile(options, target, draft, cores)
    ports = [("the OpenAI API (--port)", "127.0.0.1", options.port)]
    if options.controller is None:
        ports += _check_controller(options)
    else:
        parse_address(options.controller)
    check_ports(ports)
    run = options.run or new_run("serve", options.seed)
    engine = _engine(options, target, draft, cores, run)
    _check_governor(engine)
    # Made here and let go: the controller takes it over.
    RunLock(run).release()
    return engine, None if options.controller else _controller(options, run)


def _models(options: ServeOptions) -> tuple[Path, Path]:
    """The model's and the draft's folder, made for each other."""
    if (options.model is None) != (options.draft is None):
        raise ValueError("give both --model and --draft, or neither for the embedded models")
    if options.model is None or options.draft is None:
        target, draft = family.path(family.TARGET), family.path(family.DRAFT)
    else:
        target, draft = options.model, options.draft
    family.check_pair(target, draft)
    return target.resolve(), draft.resolve()


def _check_profile(
    options: ServeOptions, target: Path, draft: Path, cores: frozenset[int] | None
) -> None:
    """Refuse a profile of another engine than the one to be started, and what is not its start."""
    if options.controller is not None and (options.profile or options.start):
        name = "--profile" if options.profile else "--start"
        raise ValueError(
            f"{name} is for a controller that is started here; give it to `flyball controller`"
        )
    check_start(options.start, options.profile, options.prices)
    if options.profile is None:
        return
    found = profile.load_profile(options.profile)
    profile.check(
        found,
        identity.of_models(target, draft, options.k_max, options.dtype, cores, options.extra),
    )


def _check_classes(path: Path) -> None:
    try:
        load_classes(path)
    except SloError as e:
        raise ValueError(f"--slo-classes: {e}") from None


def _check_controller(options: ServeOptions) -> list[tuple[str, str, int]]:
    """Check what the controller will be told; the ports it needs."""
    wire, http = parse_address(options.address), parse_http(options.http)
    Duty(options.learner_share)
    price_list(options.prices, parameter_ratio=0.1)
    keys = ServerKeys.load(options.keys) if options.keys else None
    check_exposure(wire, http, keys, load_token(options.token_file))
    if options.speed is not None:
        check_speed(options.speed)
    if options.reward is not None:
        load_reward(options.reward)
    names = ("reports", "orders", "commands")
    hosts = [_bindable(a.host) for a in (wire, http)]
    return [
        *((f"{name} (--address)", hosts[0], wire.port + i) for i, name in enumerate(names)),
        ("the HTTP API (--http)", hosts[1], http.port),
    ]


def _engine(
    options: ServeOptions, target: Path, draft: Path, cores: frozenset[int] | None, run: Path
) -> EngineProcess:
    from ..inference.vllm.server import EngineProcess

    return EngineProcess(
        target=target,
        draft=draft,
        port=options.port,
        k_max=options.k_max,
        static_depth=options.static_depth,
        controller=options.controller or options.address.replace("//*", "//127.0.0.1"),
        engine=options.engine,
        cores=cores,
        dtype=options.dtype,
        slo_classes=options.slo_classes.resolve() if options.slo_classes else None,
        drafters=_drafters(options),
        extra=list(options.extra),
        env=_environment(options),
        log=run / "engine.log",
    )


def _drafters(options: ServeOptions) -> tuple[str, ...]:
    if not options.drafters:
        return ()
    try:
        return parse_drafters(options.drafters)
    except ValueError as e:
        raise ValueError(f"--drafters: {e}") from None


def _check_worker(options: ServeOptions) -> None:
    """Refuse another worker than the one that offers drafters."""
    given = [word for word in options.extra if word.replace("_", "-").startswith("--worker-cls")]
    if options.drafters and given:
        raise ValueError(f"{given[0]} cannot be given to vLLM here: --drafters needs flyball's own")


def _check_drafters(options: ServeOptions, target: Path) -> None:
    """Refuse options of drafters that are not offered, and models that make no chain."""
    for option, drafter, given in (
        ("--suffix-store", "suffix", options.suffix_store is not None),
        ("--chain", "chain", bool(options.chain)),
    ):
        if given and drafter not in _drafters(options):
            raise ValueError(f"{option} is for --drafters with {drafter} among them")
    environ = _environment(options)
    try:
        suffix_memory(environ)
        models = chain(environ).models
    except ValueError as e:
        said = str(e).replace("FLYBALL_SUFFIX_STORE=", "--suffix-store ")
        raise ValueError(said.replace("FLYBALL_CHAIN=", "--chain ")) from None
    for model in models:
        family.check_pair(target, model)


def _check_governor(engine: EngineProcess) -> None:
    """Refuse what the governor will not start with: the engine finds out after minutes."""
    environ = engine.environment()
    settings = from_environment(environ)
    suffix_memory(environ)
    chain(environ)
    settings.orders()
    if settings.controller is not None:
        check_keys(settings.controller, settings.keys)


def _environment(options: ServeOptions) -> dict[str, str]:
    env = {"FLYBALL_KEYS": str(options.keys)} if options.keys else {}
    if options.suffix_store is not None:
        env["FLYBALL_SUFFIX_STORE"] = str(options.suffix_store.resolve())
    if options.chain:
        env["FLYBALL_CHAIN"] = options.chain
    return env if options.guard else env | {"FLYBALL_GUARD": "off"}


def _controller(options: ServeOptions, run: Path) -> ControllerProcess:
    arguments = ["--run", str(run), "--address", options.address, "--http", options.http]
    arguments += ["--prices", options.prices, "--seed", str(options.seed)]
    arguments += ["--learner-share", str(options.learner_share)]
    files = {
        "--profile": options.profile,
        "--keys": options.keys,
        "--token-file": options.token_file,
    }
    for option, path in files.items():
        arguments += [option, str(path)] if path else []
    # What can be changed while it runs is said once: a restart resumes what then held.
    first = ["--reward", options.reward] if options.reward else []
    first += ["--speed", options.speed] if options.speed else []
    first += ["--start", str(options.start)] if options.start else []
    http = parse_http(options.http)
    url = f"http://{'127.0.0.1' if http.host in _ANY else http.host}:{http.port}"
    return ControllerProcess(arguments, first, url, run / "controller.log")


_ANY = ("0.0.0.0", "*", "localhost")  # noqa: S104 - compared with, not bound to


def _bindable(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host
