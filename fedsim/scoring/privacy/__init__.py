"""Privacy: what the mechanisms of differential privacy guarantee, and what an audit measures."""

from fedsim.scoring.privacy.accountant import Release
from fedsim.scoring.privacy.ledger import PrivacyLedger

__all__ = ["PrivacyLedger", "Release"]
