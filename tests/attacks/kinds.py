"""The registered attacks by what they rebuild."""

from fedsim.modality import Modality
from fedsim.registry import ATTACKS

ON_PICTURES = [n for n in ATTACKS.names() if Modality.PICTURES in ATTACKS.get(n).takes]
ON_TEXTS = [n for n in ATTACKS.names() if Modality.TEXTS in ATTACKS.get(n).takes]
