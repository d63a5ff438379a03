"""Changes that a malicious server makes to the model that it sends, one file each.

An attack in ``fedsim.attacks`` reads the result; a guide is in ``server/README.md``.
"""

from fedsim.server.malicious.base import Changed, Manipulation, Public
from fedsim.server.malicious.decepticon import Decepticon
from fedsim.server.malicious.fishing import Fishing
from fedsim.server.malicious.imprint import Imprint
from fedsim.server.malicious.imprint_parts import ImprintParts
from fedsim.server.malicious.inconsistent_models import InconsistentModels
from fedsim.server.malicious.invented_clients import InventedClients
from fedsim.server.malicious.isolating import Isolating, Isolation, Mixture
from fedsim.server.malicious.scale_mia import ScaleMIA
from fedsim.server.malicious.trap_weights import TrapWeights

__all__ = [
    "Changed",
    "Decepticon",
    "Fishing",
    "Imprint",
    "ImprintParts",
    "InconsistentModels",
    "InventedClients",
    "Isolating",
    "Isolation",
    "Manipulation",
    "Mixture",
    "Public",
    "ScaleMIA",
    "TrapWeights",
]
