"""The registered attacks by what they rebuild."""

from fedsim.core.modality import Modality
from fedsim.core.registry import ATTACKS

ON_PICTURES = [n for n in ATTACKS.names() if Modality.PICTURES in ATTACKS.get(n).takes]
ON_TEXTS = [n for n in ATTACKS.names() if Modality.TEXTS in ATTACKS.get(n).takes]
