"""The examples of ``attacks/README.md`` run."""

import re
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedsim import attacks
from fedsim.attacks.adaptive import Known, adapt, countermeasures_of
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
    truth = victims.images[0], victims.labels[0]
    generator = torch.Generator().manual_seed(0)
    noise = {k: torch.randn(g.shape, generator=generator) for k, g in seen.gradient.items()}
    noisy = {k: g + 0.1 * g.square().mean().sqrt() * noise[k] for k, g in seen.gradient.items()}
    chain = countermeasures_of([{"name": "relative-noise", "share": 0.1}, {"name": "fp16"}])
    adapted = adapt(attacks.DLG(), chain, Known())
    coordinates = sum(g.numel() for g in noisy.values())
    # Half of the mean of chi squared, by the truth.
    cost = float(adapted.objective(seen.gradient, noisy)) / coordinates
    assert cost == pytest.approx(0.5, rel=0.05)
    assert [type(p) for p in adapted.priors] == [attacks.TotalVariation]
    assert (
        adapted.relative_objective_of(victims.model, replace(seen, gradient=noisy), *truth) < 0.02
    )
