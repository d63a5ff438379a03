"""JSON schemas of scenarios, comparisons and the results of commands."""

import json
from typing import Any

from pydantic import BaseModel

from fedsim.cli.options import Described
from fedsim.scenario import Scenario
from fedsim.scenario.comparison import Comparison
from fedsim.show.as_json import (
    ComparisonResult,
    DryRunResult,
    EntriesResult,
    ExplanationsResult,
    RunResult,
)

_MODELS: dict[Described, type[BaseModel]] = {
    Described.SCENARIO: Scenario,
    Described.COMPARISON: Comparison,
    Described.RUN: RunResult,
    Described.LEAK: RunResult,
    Described.AUDIT: RunResult,
    Described.COMPARE: ComparisonResult,
    Described.EXPLAIN: ExplanationsResult,
    Described.LIST: EntriesResult,
    Described.DRY_RUN: DryRunResult,
}


def schema_of(described: Described) -> str:
    """Return the JSON schema of a scenario's or a comparison's file, or of a command's result.

    That of a scenario names what is registered, plugins included.
    """
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | _MODELS[described].model_json_schema(), indent=1)
