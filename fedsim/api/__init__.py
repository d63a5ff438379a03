"""Python API for notebooks and scripts."""

from fedsim.api.audits import audit_privacy
from fedsim.api.compares import Compared, compare, open_comparison
from fedsim.api.display import Explanations, Figure, Figures, Table
from fedsim.api.ladders import Climbed, ladder
from fedsim.api.runs import Run, open_run, resume, run
from fedsim.api.strategies import audit

__all__ = [
    "Climbed",
    "Compared",
    "Explanations",
    "Figure",
    "Figures",
    "Run",
    "Table",
    "audit",
    "audit_privacy",
    "compare",
    "ladder",
    "open_comparison",
    "open_run",
    "resume",
    "run",
]
