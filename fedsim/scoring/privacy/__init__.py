"""Privacy: what the mechanisms of differential privacy guarantee, and what an audit measures."""

from fedsim.scoring.privacy.accountant import Release
from fedsim.scoring.privacy.audit import Audit, audit
from fedsim.scoring.privacy.canaries import Client
from fedsim.scoring.privacy.ledger import PrivacyLedger

__all__ = ["Audit", "Client", "PrivacyLedger", "Release", "audit"]
