"""``flyball serve``: a governed engine and its controller, from one command."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from . import options
from .console import CliError, refusals, say

if TYPE_CHECKING:
    from ...inference.vllm.server import EngineProcess
    from ..supervise import ControllerProcess


def serve(
    context: typer.Context,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the target model. Default: the embedded one.")
    ] = None,
    draft: Annotated[
        Path | None, typer.Option(help="Folder of the draft model, on the target's vocabulary.")
    ] = None,
    k_max: Annotated[int, typer.Option(help="Greatest draft depth, tokens, 1 to 8.")] = 6,
    static_depth: Annotated[
        int, typer.Option(help="Depth while nothing was learned, tokens, 0 to k-max.")
    ] = 2,
    dtype: Annotated[str, typer.Option(help="Of the weights: bfloat16, float16, float32.")] = (
        "bfloat16"
    ),
    port: Annotated[
        int, typer.Option(help="Of the OpenAI API, on 127.0.0.1.", min=1, max=65535)
    ] = 8000,
    engine: Annotated[str, typer.Option(help="Name of the engine.")] = "engine-0",
    engine_cores: Annotated[
        str | None, typer.Option(help="Processors for the engine, such as 0-3 or 0,2.")
    ] = None,
    controller: Annotated[
        str | None,
        typer.Option(help="tcp://HOST:PORT of a running controller. Default: start one."),
    ] = None,
    address: options.Address = options.ADDRESS,
    http: options.Http = options.HTTP,
    run: options.Run = None,
    reward: options.Reward = None,
    speed: options.Speed = None,
    prices: options.Prices = "compute",
    profile: options.Profile = None,
    start: options.Start = None,
    seed: options.Seed = 0,
    learner_share: options.LearnerShare = 0.25,
    keys: options.Keys = None,
    token_file: options.TokenFile = None,
    guard: Annotated[
        bool,
        typer.Option(
            "--guard/--no-guard",
            help="Fall back to the static depth while the policy is measurably worse.",
        ),
    ] = True,
    slo_classes: Annotated[
        Path | None,
        typer.Option(help="TOML file of SLO classes. Default: tight, loose and none."),
    ] = None,
    drafters: Annotated[
        str,
        typer.Option(
            help="What requests can have drafts from, the default first, such as "
            "draft,ngram,suffix,chain,suffix+draft. Default: the draft model alone."
        ),
    ] = "",
    suffix_store: Annotated[
        Path | None,
        typer.Option(help="Folder in which the suffix memory is kept across restarts."),
    ] = None,
    chain: Annotated[
        str,
        typer.Option(
            help="Folders, with commas, of the chain's models, on the target's vocabulary. "
            "Default: the embedded family's, below its target."
        ),
    ] = "",
) -> None:
    """Serve a model over the OpenAI API, its speculation depth governed and learned online.

    Without arguments it serves the embedded models. What comes after -- goes to vLLM as it is,
    but for what flyball itself tells vLLM: models, port, data type, scheduler, speculation.
    Ctrl-C or SIGTERM stops the engine, then the controller with a last checkpoint. A controller
    that dies is started again while serving goes on; if the engine ends, so does this, with its
    exit code.

    Example: flyball serve --speed 0.8 -- --max-num-batched-tokens 2048
    """
    from ..serving import ServeOptions, check

    with refusals():
        chosen = ServeOptions(
            model=model,
            draft=draft,
            k_max=k_max,
            static_depth=static_depth,
            dtype=dtype,
            port=port,
            engine=engine,
            engine_cores=engine_cores,
            controller=controller,
            address=address,
            http=http,
            run=run,
            reward=reward,
            speed=speed,
            prices=prices,
            profile=profile,
            start=start,
            seed=seed,
            learner_share=learner_share,
            keys=keys,
            token_file=token_file,
            guard=guard,
            slo_classes=slo_classes,
            drafters=drafters,
            suffix_store=suffix_store,
            chain=chain,
            extra=tuple(context.args),
        )
        child, learner = check(chosen)
    raise typer.Exit(_serve(child, learner))


class ServeCommand(TyperCommand):
    """Tells flyball's own words from vLLM's, which come after ``--``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what comes before ``--``; what comes after it is in the context's ``args``.

        Args:
            ctx: click's context, by whichever package typer has it from.
            args: the words of the command line.

        Raises:
            CliError: at a word that is no option; vLLM would take it for a model.
        """
        end = args.index("--") if "--" in args else len(args)
        left = super().parse_args(ctx, args[:end])
        if left:
            raise CliError(
                f"unexpected {left[0]!r}: name models with --model DIR --draft DIR; what is "
                "vLLM's comes after --"
            )
        theirs = args[end + 1 :]
        ctx.args = theirs
        return theirs


def _still_starting(seconds: float) -> None:
    say(
        f"engine: still starting after {seconds:.0f} s; loading and compiling the models can take "
        "minutes"
    )


def _serve(engine: EngineProcess, controller: ControllerProcess | None) -> int:
    """Start the children, keep them, stop them; the exit code."""
    from ...inference.client import ControllerError
    from ...inference.vllm.server import EngineError
    from .. import logs
    from ..supervise import Stopped, stoppable, tend

    logs.set_up("info")
    with stoppable():
        try:
            if controller is not None:
                controller.start()
                controller.wait_ready()
                say(f"controller: {controller.url}, run {engine.log and engine.log.parent}")
            say(f"engine: starting, its output is in {engine.log}")
            # Large models take as long as they take.
            engine.start().wait_ready(math.inf, waiting=_still_starting)
            say(f"engine: {engine.url}/v1, model {engine.model}, governed; see `flyball status`")
            code = tend(engine, controller)
            say(f"engine: ended with code {code}; its output is in {engine.log}")
            return code
        except Stopped:
            say("stopping")
            return 0
        except (ControllerError, EngineError) as e:
            raise CliError(str(e)) from None
        finally:
            engine.stop()
            if controller is not None:
                controller.stop()
