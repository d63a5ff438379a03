"""The command ``fedsim audit``."""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedsim.cli.ladder import climb, show_ladder
from fedsim.cli.options import Out
from fedsim.cli.threshold import conclude_by
from fedsim.core.errors import RunError
from fedsim.log.folders import ladder_place, new_folder

if TYPE_CHECKING:
    from fedsim.engine.audit.request import Request


class Uploads(StrEnum):
    """Content of the clients' replies."""

    WEIGHTS = "weights"
    GRADIENTS = "gradients"


class Mode(StrEnum):
    """Mode of the model's layers in the clients' training."""

    TRAIN = "train"
    EVAL = "eval"


def audit(  # noqa: PLR0913, PLR0917  (each is an option of its own)
    app: Annotated[
        Path | None,
        typer.Argument(help="The folder of a Flower app: it is run as it is.", show_default=False),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="MODULE:NAME",
            help="The model's class, or a function that makes it. Its code is executed.",
        ),
    ] = "",
    before: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of an app: the weights that were sent."),
    ] = None,
    after: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="And a client's trained weights, or gradient. Can be given several times.",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Private examples, to score recorded uploads: a file with the tensors inputs and "
            "labels, or a folder with one for each client.",
        ),
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option(metavar="3x32x32", help="One example as the model takes it.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples in a local step.")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of local steps.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Local epochs, instead of steps.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The clients' learning rate.")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,KEY=VALUE]",
            help="The clients' optimiser, as sgd,momentum=0.9 or adam; plain sgd if left out.",
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,KEY=VALUE]",
            help="Schedule of the learning rate, as cosine,over=steps,warmup=5.",
        ),
    ] = None,
    max_grad_norm: Annotated[
        float | None, typer.Option(help="Norm to which clients clip a step's gradient.")
    ] = None,
    proximal_mu: Annotated[float | None, typer.Option(help="Weight of FedProx's term.")] = None,
    augment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,KEY=VALUE]",
            help="Random change of the pictures, as flip. Can be given several times.",
        ),
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="Mode of BatchNorm and dropout.")] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="The clients' loss, or one of fedsim list losses as cross-entropy,smoothing=0.1; "
            "the cross-entropy if left out.",
        ),
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(metavar="MEAN/STD", help="As 0.5/0.25, or three numbers each, with commas."),
    ] = None,
    value_range: Annotated[
        str | None, typer.Option("--range", metavar="LOW,HIGH", help="Range of the data.")
    ] = None,
    public: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Public examples: a file with inputs and labels."),
    ] = None,
    uploads: Annotated[Uploads, typer.Option(help="Content of the uploads.")] = Uploads.WEIGHTS,
    attack: Annotated[str, typer.Option(help="See: fedsim list attacks.")] = "best",
    evaluations: Annotated[int | None, typer.Option(help="Effort of the attack.")] = None,
    time_limit: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Time limit of the control, and of a round's other attacks."
        ),
    ] = 60.0,
    clients: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of clients of an app; those of its federation, or 2, if left out."
        ),
    ] = None,
    attacked: Annotated[int, typer.Option(help="Most clients attacked in a round.")] = 1,
    rounds: Annotated[
        list[int] | None, typer.Option("--round", help="Round to attack; 1 if left out.")
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the app's config."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    fail_above: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Exit with 3 if a larger share of the attacked examples leaked, in part or "
            "fully; with 4 without evidence.",
        ),
    ] = None,
    ladder: Annotated[
        bool,
        typer.Option(
            "--ladder",
            help="Also attack the model from the easiest setting to this one, on public examples; "
            "alone, without an app or uploads, too.",
        ),
    ] = False,
    ladder_limit: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time limit of its rungs, and of its map.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(help="Seed of the attacks.")] = 0,
    out: Out = None,
) -> None:
    """Audit a Flower app, or recorded uploads: what do they leak?

    fedsim audit my-app --model task:Net --fail-above 0

    fedsim audit --before a.safetensors --after b.safetensors --model task:Net
    --input-shape 3x32x32 --batch-size 32 --steps 30 --learning-rate 0.01

    fedsim audit --ladder --model task:Net --input-shape 3x32x32 --batch-size 32 --epochs 1
    --learning-rate 0.01
    """
    if not model:
        raise RunError("--model is missing: give the model's class, as module:name")
    folder = out if out is not None else new_folder("audit")
    from fedsim.engine.audit.request import Request  # noqa: PLC0415  (loads torch)

    request = Request(
        model=model,
        input_shape=input_shape,
        batch_size=batch_size,
        local_steps=steps,
        local_epochs=epochs,
        learning_rate=learning_rate,
        mode=None if mode is None else mode.value,
        loss=loss if loss is None or ":" in loss else _table(loss),
        normalise=normalise,
        value_range=value_range,
        public=None if public is None else str(public.absolute()),
        uploads=uploads.value,
        optimizer=None if optimizer is None else _table(optimizer),
        details={
            "schedule": None if schedule is None else _table(schedule),
            "max_grad_norm": max_grad_norm,
            "proximal_mu": proximal_mu,
            "augmentations": [_table(each) for each in augment] if augment else None,
        },
        others={
            "attack": attack,
            "evaluations": evaluations,
            "rounds": rounds or [1],
            "clients": attacked if app is not None else None,
            "time_limit_s": time_limit,
            "seed": seed,
        },
    )
    limit = ladder_limit if ladder else None
    if app is not None and before is None and not after:
        _app(request, app, clients, config or [], folder, limit)
    elif app is None and before is not None and after:
        _recorded(request, before, after, truth, folder)
    elif app is not None or before is not None or after or limit is None:
        raise RunError("expected the folder of a Flower app, or both --before and --after")
    if limit is not None and app is None:
        climb(request, before, ladder_place(folder, alone=before is None), limit)
    if before is None and app is None:
        show_ladder(folder, as_json=as_json)
        return
    if limit is not None and not as_json:
        show_ladder(ladder_place(folder), as_json=False)
    conclude_by(folder, as_json=as_json, fail_above=fail_above)


def _app(
    request: Request,
    app: Path,
    clients: int | None,
    config: list[str],
    folder: Path,
    ladder_limit: float | None,
) -> None:
    from fedsim.api.apps import audit_app  # noqa: PLC0415

    changes = dict(map(_setting, config))
    audit_app(request, app, clients, changes, folder, ladder_limit_s=ladder_limit)


def _recorded(
    request: Request, before: Path, after: list[Path], truth: Path | None, folder: Path
) -> None:
    from fedsim.api.apps import audit_recorded  # noqa: PLC0415

    audit_recorded(request, before, after, truth, folder)


def _table(text: str) -> dict[str, Any]:
    """Return ``sgd,momentum=0.9`` as a table of name and parameters; lists are in brackets."""
    name, *settings = re.split(r",(?![^\[]*\])", text)
    return {"name": name, **dict(map(_setting, settings))}


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise RunError(f"{text}: expected KEY=VALUE")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        return key.strip(), value
