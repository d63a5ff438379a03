"""A file to begin with is valid, and so is each of its options."""

import functools
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from fedsim.cli.main import app
from fedsim.cli.options import Described
from fedsim.cli.reference import schema_file, start_of
from fedsim.cli.schemas import schema_of
from fedsim.core.errors import ScenarioError
from fedsim.scenario import Scenario, load_scenario
from fedsim.scenario.comparison import Comparison, load_comparison

OPTION = re.compile(r"^#(?=\w+ = )", re.MULTILINE)
STARTS = {Described.SCENARIO: Scenario, Described.COMPARISON: Comparison}
# An option that needs others beside it.
TOGETHER = {
    "local_steps": ('upload = "gradient"', 'upload = "update"'),
    "local_epochs": ('upload = "gradient"', 'upload = "update"'),
}


def options(kind: Described) -> list[str]:
    return [line[1:] for line in start_of(kind).splitlines() if OPTION.match(line)]


@pytest.mark.parametrize(
    ("kind", "option"), [(kind, option) for kind in STARTS for option in ["", *options(kind)]]
)
def test_each_option_is_valid(kind: Described, option: str) -> None:
    text = start_of(kind)
    if option:
        text = text.replace(f"#{option}", option, 1)
        text = text.replace(*TOGETHER.get(option.split(" = ", maxsplit=1)[0], ("", "")))
    STARTS[kind].from_toml(text)
    jsonschema.validate(tomllib.loads(text), schema(kind))


@functools.cache
def schema(kind: Described) -> Any:
    return json.loads(schema_of(kind))


@pytest.mark.parametrize("kind", STARTS)
def test_a_file_and_its_schema_are_written_once(kind: Described, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    words = ["init", str(file), *(["--comparison"] if kind == Described.COMPARISON else [])]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    first = file.read_text().splitlines()[0]
    assert first == f"#:schema ./{schema_file(kind)}"
    assert json.loads((tmp_path / schema_file(kind)).read_text()) == schema(kind)
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, ScenarioError)
    assert "mine.toml exists" in str(again.exception)


def test_a_scenario_and_a_comparison_are_told_apart(tmp_path: Path) -> None:
    scenario, comparison = tmp_path / "s.toml", tmp_path / "c.toml"
    scenario.write_text(start_of(Described.SCENARIO))
    comparison.write_text(start_of(Described.COMPARISON))
    with pytest.raises(ScenarioError, match=r"c\.toml: this is a comparison; run: fedsim compare"):
        load_scenario(str(comparison))
    with pytest.raises(ScenarioError, match=r"s\.toml: this is a scenario; run: fedsim run"):
        load_comparison(str(scenario))
    with pytest.raises(ScenarioError, match="it is a comparison; run: fedsim compare compare-all"):
        load_scenario("compare-all")
    with pytest.raises(ScenarioError, match="it is a scenario; run: fedsim run quickstart"):
        load_comparison("quickstart")
