"""Audits of other Flower apps: their strategy, model and data, attacked and scored like a run."""

from fedsim.engine.audit.kept import KeptBatches
from fedsim.engine.audit.plan import AuditPlan, Truth
from fedsim.engine.audit.session import Session
from fedsim.engine.audit.strategy import Audit

__all__ = ["Audit", "AuditPlan", "KeptBatches", "Session", "Truth"]
