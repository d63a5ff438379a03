"""What `--json` prints is what `fedsim schema` describes."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from fedsim.cli.main import app
from fedsim.cli.options import Described, Kind
from fedsim.cli.schemas import schema_of
from fedsim.log.run import Run
from fedsim.scenario import bundled, scenario_text
from fedsim.show.as_json import comparison_result, run_result
from tests.fedsim.show.comparison.test_advice import result
from tests.fedsim.show.report.logs import Log


def printed(*words: str) -> Any:
    result = CliRunner().invoke(app, [*words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def check(found: Any, described: Described) -> None:
    jsonschema.validate(found, json.loads(schema_of(described)))


@pytest.mark.parametrize("described", Described)
def test_schemas_are_valid(described: Described) -> None:
    schema = printed("schema", described)
    jsonschema.Draft202012Validator.check_schema(schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"no": "such key"}, schema)


@pytest.mark.parametrize("name", bundled())
def test_bundled_scenarios_fit(name: str) -> None:
    check(tomllib.loads(scenario_text(name)[0]), Described.SCENARIO)


@pytest.mark.parametrize(
    "change",
    [
        {"attack": "no-such-attack"},
        {"attack": {"name": "dlg", "no_such_parameter": 1}},
        {"no_such_key": 1},
        {"per_round": 0},
    ],
)
def test_what_a_scenario_refuses_does_not_fit(change: dict[str, Any]) -> None:
    scenario = tomllib.loads(scenario_text("quickstart")[0])
    scenario["adversary"] |= change
    with pytest.raises(jsonschema.ValidationError):
        check(scenario, Described.SCENARIO)


@pytest.mark.parametrize("kind", [None, *Kind])
def test_list(kind: Kind | None) -> None:
    found = printed("list", *([] if kind is None else [kind]), "--json")
    check(found, Described.LIST)
    assert found["entries"]


def test_explain(tmp_path: Path) -> None:
    Log().write(tmp_path)
    found = printed("explain", str(tmp_path), "--json")
    check(found, Described.EXPLAIN)
    assert found["explanations"]


@pytest.mark.parametrize("status", ["finished", None])
def test_run(tmp_path: Path, status: str | None) -> None:
    found = json.loads(run_result(Run.read(Log(status=status).write(tmp_path))).text())
    check(found, Described.RUN)
    assert found["status"] == status
    assert {row["group"] for row in found["rows"]} > {"undefended", "pruned", "noisy"}
    assert found["leakage"] == sum(found["examples"][m] for m in ("leaked", "partly leaked")) / 6
    assert all(len(row["scores"]) == len(row["blind"]) for row in found["rows"])


def test_infinite_figures_are_null(tmp_path: Path) -> None:
    run = Run.read(Log().write(tmp_path))
    run.summary.rows[0].scores[0] = float("inf")
    found = json.loads(run_result(run).text(), parse_constant=pytest.fail)
    assert found["rows"][0]["scores"][0] is None


def test_compare(tmp_path: Path) -> None:
    said = comparison_result(
        "Two", [result("none", 20, 0.7), result("noise", 0, 0.6)], ["Nothing protects."],
        failed=["a run: it stopped"], files=[tmp_path / "table.csv"], folder=tmp_path,
    )  # fmt: skip
    found = json.loads(said.text())
    check(found, Described.COMPARE)
    assert [row["defense"] for row in found["rows"]] == ["none", "noise"]
