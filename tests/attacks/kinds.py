"""The registered attacks by what they rebuild."""

from fedsim.core.modality import PICTURES, TEXTS, suits
from fedsim.core.registry import ATTACKS

ON_PICTURES = [n for n in ATTACKS.names() if suits(ATTACKS.get(n).modalities, PICTURES)]
ON_TEXTS = [n for n in ATTACKS.names() if suits(ATTACKS.get(n).modalities, TEXTS)]
CRAFTED = frozenset({"dense-bins", "fished", "token-bins"})
"""Those that read only models that a malicious server has changed."""
