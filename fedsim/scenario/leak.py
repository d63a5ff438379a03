"""Scenarios of `fedsim leak`: one client, one picture or text, one round."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import tomli_w

from fedsim.core.errors import ScenarioError
from fedsim.core.toml import parse_toml
from fedsim.scenario import Scenario

FILM = 300
"""Evaluations of the film beside a picture that was computed without a search."""


def own_picture_scenario(
    image: Path,
    *,
    channels: int,
    size: int,
    defenses: Sequence[str],
    attack: str,
    evaluations: int,
    seed: int,
    overrides: Sequence[str] = (),
) -> Scenario:
    """Return a scenario in which one client trains on one picture and is attacked.

    Args:
        image: the picture.
        channels: 1 or 3.
        size: side in pixels.
        defenses: as on the command line: ``name`` or ``name,parameter=value,...``.
        attack: the attack's name.
        evaluations: maximum number of objective evaluations.
        seed: the run's seed.
        overrides: changes to the scenario; see `Scenario.from_toml`.

    Raises:
        ScenarioError: an option is invalid.
    """
    shown = "".join(c if c.isprintable() else "?" for c in image.name)
    table = {
        "title": f"What does the gradient of {shown} give away?",
        "seed": seed,
        "data": {
            "dataset": {
                "name": "picture",
                "path": str(image.expanduser().absolute()),
                "size": size,
                "channels": channels,
            }
        },
        "federation": {"rounds": 1},
        "clients": [
            {
                "name": shown[:60] or "picture",
                "defenses": [parse_defense(text) for text in defenses],
            }
        ],
        "adversary": {
            "attack": {"name": attack, "evaluations": evaluations},
            "adaptive": True,
            "film": FILM,
        },
    }
    return Scenario.from_toml(tomli_w.dumps(table), "fedsim leak", overrides)


def own_text_scenario(
    text: str,
    *,
    pretrained: str | None,
    defenses: Sequence[str],
    attack: str,
    evaluations: int | None,
    seed: int,
    overrides: Sequence[str] = (),
) -> Scenario:
    """Return a scenario in which one client fine-tunes BERT on one text and is attacked.

    Args:
        text: the text.
        pretrained: source of the initial weights, as in the model ``bert``; None for random
            weights.
        defenses: as on the command line.
        attack: the attack's name.
        evaluations: maximum number of objective evaluations; None for attacks without any.
        seed: the run's seed.
        overrides: changes to the scenario; see `Scenario.from_toml`.

    Raises:
        ScenarioError: an option is invalid.
    """
    shown = shorten("".join(c if c.isprintable() else " " for c in text), 60, placeholder=" …")
    spent = {} if evaluations is None else {"evaluations": evaluations}
    model = {"name": "bert"} if pretrained is None else {"name": "bert", "pretrained": pretrained}
    table = {
        "title": f"What does the gradient of ‘{shown}’ give away?",
        "seed": seed,
        "data": {"dataset": {"name": "sentences", "texts": [text]}},
        "model": {**model, "max_tokens": 128},
        "federation": {"rounds": 1, "learning_rate": 0.01},
        "clients": [{"name": "you", "defenses": [parse_defense(d) for d in defenses]}],
        "adversary": {"attack": {"name": attack, **spent}, "adaptive": True},
    }
    return Scenario.from_toml(tomli_w.dumps(table), "fedsim leak", overrides)


def parse_defense(text: str) -> dict[str, object]:
    """Return ``name,parameter=value,...`` as a table of the scenario.

    Raises:
        ScenarioError: a part is not ``parameter=value`` with a TOML value.
    """
    name, *parameters = text.split(",")
    table: dict[str, object] = {"name": name.strip()}
    for parameter in parameters:
        try:
            table |= parse_toml(parameter)
        except tomllib.TOMLDecodeError:
            raise ScenarioError(
                f"--defense {text!r}: expected NAME,PARAMETER=VALUE as in pruning,fraction=0.7; "
                f"{parameter!r} is not PARAMETER=VALUE"
            ) from None
    return table
