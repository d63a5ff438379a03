"""The examples of ``attacks/README.md`` run."""

import re
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedsim import attacks
from fedsim.core.registry import ATTACKS, COUNTERMEASURES
from tests.victims import fashion_victims


def blocks() -> list[str]:
    text = (Path(attacks.__file__).parent / "README.md").read_text()
    found = re.findall(r"^ *```python\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def execute(block: str) -> None:
    exec(block, {"__name__": "readme"})  # noqa: S102


@pytest.fixture(autouse=True)
def own_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (ATTACKS, COUNTERMEASURES):
        registry.names()
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))


def test_use(capsys: pytest.CaptureFixture[str]) -> None:
    execute(blocks()[0])
    printed = re.findall(r"# (converged.*|True)$", blocks()[0], flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == printed
    assert len(printed) == 2


def test_added_attack() -> None:
    execute(blocks()[1])
    victims = fashion_victims(2, shrink=2)
    found = ATTACKS.get("cosine")(evaluations=400).run(victims.model, victims.observations())
    assert victims.psnr(found).min() > 30


def test_added_countermeasure() -> None:
    execute(blocks()[2])
    victims = fashion_victims(1, shrink=2)
    [seen] = victims.observations()
    signs = replace(seen, gradient={k: g.sign() for k, g in seen.gradient.items()})
    naive = attacks.DLG()
    adapted = COUNTERMEASURES.get("ternary")().adapt(naive, {})
    truth = victims.images[0], victims.labels[0]
    assert naive.misfit(victims.model, signs, *truth) > 1e-3
    scale = adapted.objective({"w": -torch.ones(3)}, {"w": torch.ones(3)})
    assert scale == 3
    assert adapted.objective(seen.gradient, signs.gradient) == 0
