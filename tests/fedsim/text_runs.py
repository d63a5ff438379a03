"""A tiny scenario about texts."""

from fedsim.scenario import Scenario

TEXTS = ("my friend is ill", "the bank lost it", "we pay in cash", "call me now")

TOML = f"""
title = "Texts"
seed = 5

[data]
dataset = {{ name = "sentences", texts = {list(TEXTS)} }}
partition = "iid"

[model]
name = "bert"
task = "classify"
layers = 2
width = 64

[federation]
rounds = 1
upload = "gradient"
batch_size = 2
learning_rate = 0.1

[[clients]]
name = "plain"
count = 2

[adversary]
attack = {{ name = "dager" }}
"""


def texts(*overrides: str) -> Scenario:
    """Return the scenario with ``key=value`` overrides."""
    return Scenario.from_toml(TOML, "texts", overrides)
