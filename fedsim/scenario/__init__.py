"""Scenarios: one TOML file is one experiment, checked when it is loaded."""

from fedsim.scenario.files import (
    QUICKSTART,
    bundled,
    is_scenario,
    load_scenario,
    scenario_text,
    toml_text,
)
from fedsim.scenario.overrides import Override, override
from fedsim.scenario.schema import Scenario
from fedsim.scenario.sections import (
    AdversaryPlan,
    ClientGroup,
    Data,
    Federation,
    Section,
    Shown,
)
from fedsim.scenario.text import explain

__all__ = [
    "QUICKSTART",
    "AdversaryPlan",
    "ClientGroup",
    "Data",
    "Federation",
    "Override",
    "Scenario",
    "Section",
    "Shown",
    "bundled",
    "explain",
    "is_scenario",
    "load_scenario",
    "override",
    "scenario_text",
    "toml_text",
]
