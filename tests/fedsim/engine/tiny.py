"""A small comparison, quick to run, that tests change where they need to."""

from fedsim.scenario.comparison import Comparison

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


TEXTS = """
title = "Tiny texts"
clients = 2
victims = 2
stages = { first = 1 }

[scenario]
data = { dataset = "messages" }
model = { name = "gpt2", layers = 2, width = 16, heads = 2 }

[scenario.federation]
rounds = 1
learning_rate = 0.1

[scenario.adversary]
attack = "dager"

[[grid]]

[[grid]]
label = "noise"
defenses = [{ name = "gaussian-noise", std = [1e-8, 0.1] }]
"""


def tiny_texts(*overrides: str) -> Comparison:
    """Return a tiny comparison over texts."""
    return Comparison.from_toml(TEXTS, "tiny texts", overrides)


def tiny(*overrides: str) -> Comparison:
    """Return the tiny comparison with ``key=value`` overrides."""
    return Comparison.from_toml(TOML, "tiny", overrides)


SWEEP = """
[[grid]]
label = "batch by steps"
sweep = true
set = { "federation.batch_size" = [1, 2, 4], "federation.local_steps" = [1, 2] }
"""


def tiny_sweep(*overrides: str) -> Comparison:
    """Return a tiny two-way sweep beside the tiny comparison's first entries."""
    text = TOML.partition("\n[[grid]]\nlabel")[0].replace(
        "rounds = 2", 'rounds = 2\nbatch_size = 1\nlocal_steps = 1\nupload = "update"'
    )
    return Comparison.from_toml(text + SWEEP, "tiny sweep", overrides)
