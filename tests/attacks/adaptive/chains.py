"""Chains of defenses, and the attackers who know them."""

from collections.abc import Mapping

from torch import Tensor

from fedsim.attacks import DLG, GradientMatching
from fedsim.attacks.adaptive import Countermeasure, Known, adapt, countermeasures_of
from fedsim.clients.defenses import Defense
from fedsim.core.registry import DEFENSES

PARAMETERS: dict[str, dict[str, object]] = {
    "bfloat16": {},
    "dgc": {"fraction": 0.5, "momentum": 0.9, "warmup": 0},
    "clipping": {"norm": 1.0},
    "dp-sgd": {"norm": 0.5, "noise_multiplier": 1e-2, "delta": 1e-5},
    "fp16": {},
    "gaussian-noise": {"std": 1e-2},
    "int8": {},
    "laplacian-noise": {"scale": 1e-2},
    "layer-clipping": {"norm": 0.3},
    "local-dp": {"norm": 1.0, "noise_multiplier": 3e-3},
    "partial-upload": {"fraction": 0.25},
    "precode": {"base": "mlp", "bottleneck": 16},
    "pruning": {"fraction": 0.5},
    "qsgd": {"levels": 64},
    "random-sparsification": {"fraction": 0.5, "unbiased": True},
    "signsgd": {},
    "soteria": {"fraction": 0.5},
    "stochastic-quantisation": {"bits": 4},
}


def countermeasure(name: str, **parameters: object) -> Countermeasure:
    """Return the countermeasure to a defense with its usual, or with other, parameters."""
    [found] = countermeasures_of([{"name": name, **(parameters or PARAMETERS.get(name, {}))}])
    return found


def informed(
    name: str,
    attack: GradientMatching,
    known: Known | None = None,
    **parameters: object,
) -> GradientMatching:
    """Return an attack adapted to one defense."""
    return adapt(attack, [countermeasure(name, **parameters)], known or Known())


def described(*names: str) -> list[Mapping[str, object]]:
    """Return defenses as a scenario describes them."""
    return [{"name": name, **PARAMETERS[name]} for name in names]


def adapted(*names: str, public: Tensor | None = None, evaluations: int = 16) -> GradientMatching:
    """Return DLG adapted to a chain of defenses with their usual parameters."""
    attack = DLG(evaluations=evaluations)
    return adapt(attack, countermeasures_of(described(*names)), Known(public=public))


def defenses(*names: str) -> list[Defense]:
    """Return a chain of defenses with their usual parameters."""
    return [DEFENSES.get(name)(**PARAMETERS[name]) for name in names]
