"""A small comparison, quick to run, that tests change where they need to."""

from fedsim.comparison.plan import Comparison

TOML = """
title = "Tiny"
clients = 3
victims = 2
seeds = [0, 1]
stages = { first = 1, last = 2 }

[scenario]
model = { name = "mlp", hidden = [4] }

[scenario.federation]
rounds = 2
learning_rate = 0.5

[scenario.adversary]
attack = { name = "dlg", evaluations = 5 }

[[grid]]

[[grid]]
label = "noise"
defenses = [{ name = "gaussian-noise", std = [0.001, 0.1] }, "fp16"]

[[grid]]
label = "batches"
set = { "federation.batch_size" = [2, 3] }
"""


def tiny(*overrides: str) -> Comparison:
    """Return the tiny comparison with ``key=value`` overrides."""
    return Comparison.from_toml(TOML, "tiny", overrides)
