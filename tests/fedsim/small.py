"""A small scenario, quick to run, that tests change where they need to."""

import pytest

from fedsim.core.errors import ScenarioError
from fedsim.scenario import Scenario

TOML = """
title = "Small"
seed = 5

[model]
name = "mlp"
hidden = [4]

[federation]
rounds = 2
upload = "gradient"
batch_size = 2
learning_rate = 0.5

[[clients]]
name = "plain"
count = 3
"""

TWENTY_EVALUATIONS = "adversary={attack={name='dlg', evaluations=20}}"


def small(*overrides: str) -> Scenario:
    """Return the small scenario with ``key=value`` overrides."""
    return Scenario.from_toml(TOML, "small", overrides)


def groups(*defenses: str, count: int = 1) -> str:
    """Return the override that makes one client group for each TOML list of defenses."""
    tables = (
        f"{{name='group {i}', count={count}, defenses={chain}}}" for i, chain in enumerate(defenses)
    )
    return f"clients=[{', '.join(tables)}]"


def refusal(*overrides: str) -> str:
    """Return the message with which the small scenario is refused after overrides."""
    with pytest.raises(ScenarioError) as caught:
        small(*overrides)
    return str(caught.value)
