"""Scenarios that load, overrides, and garbage that does not."""

import contextlib
import string
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.core.errors import ScenarioError
from fedsim.scenario import Scenario, bundled, load_scenario
from tests.fedsim.small import TOML, refusal, small


@pytest.mark.parametrize("name", bundled())
def test_bundled_scenarios_load_and_round_trip(name: str) -> None:
    scenario = load_scenario(name)
    again = Scenario.from_toml(scenario.to_toml())
    assert again == scenario
    assert again.to_toml() == scenario.to_toml()
    assert scenario.title != "Untitled"
    assert scenario.description.strip()


def test_something_is_bundled() -> None:
    assert "quickstart" in bundled()


def test_round_trip_of_everything_that_is_not_a_default() -> None:
    scenario = small(
        "description='many\nlines \"quoted\" \\u00e9'",
        "data={dataset={name='fashion-mnist', download=false}, partition='shards', data_dir='d'}",
        "model={name='mlp', hidden=[3, 5], activation='tanh'}",
        "federation={upload='update', local_steps=3, fraction=0.5, timeout_s=1.5}",
        "clients.0.defenses=[{name='pruning', fraction=0.25}, 'fp16']",
        "adversary={victims=['plain'], adaptive=true, per_round=2, every=3, time_limit_s=9.0}",
        "adversary.attack={name='idlg', trials=2, start='normal', tolerance=1e-7}",
    )
    assert Scenario.from_toml(scenario.to_toml()) == scenario
    assert scenario.adversary is not None
    assert scenario.adversary.attack.trials == 2


def test_what_is_left_out_has_its_default() -> None:
    scenario = Scenario.from_toml("[[clients]]\nname = 'a'")
    assert scenario.num_clients == 1
    assert scenario.adversary is None
    assert type(scenario.model).__name__ == "LeNet"
    assert scenario.clients[0].defenses == []


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("federation.rounds=9", 9),
        (" federation.rounds = 9 ", 9),
        ("federation.rounds=0x10", 16),
    ],
)
def test_overrides_are_toml_values(override: str, found: int) -> None:
    assert small(override).federation.rounds == found


def test_overrides_that_are_no_toml_are_strings() -> None:
    assert small("title=plain words, = too").title == "plain words, = too"
    assert small("title='3'").title == "3"


def test_overrides_reach_into_lists() -> None:
    scenario = small("clients=[{name='a', defenses=['fp16', 'none']}, {name='b'}]")
    changed = Scenario.from_toml(
        scenario.to_toml(),
        overrides=["clients.1.count=4", "clients.0.defenses.1=bfloat16"],
    )
    assert [g.count for g in changed.clients] == [1, 4]
    assert [d["name"] for d in changed.describe_defenses(0)] == ["fp16", "bfloat16"]


def test_overrides_give_parameters_to_a_bare_name() -> None:
    toml = "model = 'mlp'\n[[clients]]\nname = 'a'\ndefenses = ['fp16', 'none']"
    scenario = Scenario.from_toml(
        toml, overrides=["model.hidden=[7]", "clients.0.defenses.1.name=int8"]
    )
    assert scenario.model.hidden == (7,)
    assert [d["name"] for d in scenario.describe_defenses(0)] == ["fp16", "int8"]


def test_a_later_override_wins() -> None:
    assert small("seed=1", "seed=2").seed == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rounds", "expected key=value"),
        ("=3", "expected key=value"),
        ("seed.deep=3", "'seed' is a single value without keys"),
        ("clients.1.count=3", "expected a number from 0 to 0 in place of '1'"),
        ("clients.plain.count=3", "expected a number from 0 to 0 in place of 'plain'"),
        ("clients.-1.count=3", "in place of '-1'"),
        ("clients.7={name='x'}", "in place of '7'"),
    ],
)
def test_overrides_that_lead_nowhere(override: str, expected: str) -> None:
    message = refusal(override)
    assert message.startswith(f"--set {override!r}: ")
    assert expected in message


def test_overrides_apply_to_files_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML, encoding="utf-8")
    assert load_scenario(str(path), ["seed=11"]).seed == 11


def test_a_relative_data_dir_is_made_absolute_at_once() -> None:
    assert small("data.data_dir='sets'").data.data_dir == str(Path.cwd() / "sets")


@pytest.mark.parametrize(
    "value",
    [
        "__import__('os').system('touch {}')",
        "!!python/object/apply:os.system ['touch {}']",
        "$(touch {})",
        "{{{{ cycler.__init__.__globals__.os.popen('touch {}') }}}}",
    ],
)
def test_no_code_of_a_scenario_runs(value: str, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    for key in ("title", "clients.0.name", "model.activation", "adversary.attack", "data.dataset"):
        with contextlib.suppress(ScenarioError):
            small(f"{key}={value.format(touched)}")
    assert not touched.exists()


SECTIONS = ["title", "seed", "data", "model", "federation", "clients", "adversary"]
INNER = ["name", "count", "defenses", "dataset", "partition", "rounds", "upload", "attack"]
NAMES = st.sampled_from(["mlp", "lenet", "dlg", "fp16", "pruning", "iid", "all", "update"])
KEYS = st.sampled_from(SECTIONS + INNER) | st.text(string.printable, max_size=8)
LEAVES = (
    st.none().map(lambda _: [])
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | NAMES
    | st.datetimes()
    | st.dates()
    | st.times()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(SECTIONS) | KEYS, VALUES, max_size=5))
def test_garbage_raises_nothing_but_scenario_errors(raw: dict[str, Any]) -> None:
    text = tomli_w.dumps(raw)
    try:
        scenario = Scenario.from_toml(text, "garbage")
    except ScenarioError as error:
        assert str(error).startswith("garbage: ")  # noqa: PT017  (anything else is the failure)
    else:
        assert Scenario.from_toml(scenario.to_toml()) == scenario


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40) | st.builds("{}={}".format, KEYS, st.text(max_size=20)))
def test_garbage_overrides_raise_nothing_but_scenario_errors(override: str) -> None:
    try:
        scenario = small(override)
    except ScenarioError as error:
        assert str(error).startswith(("small: ", "--set "))  # noqa: PT017
    else:
        assert tomllib.loads(scenario.to_toml())["clients"]


def test_group_of_numbers_clients_through_the_groups() -> None:
    scenario = small("clients=[{name='a', count=2}, {name='b'}, {name='c', count=3}]")
    assert [scenario.group_of(p).name for p in range(scenario.num_clients)] == list("aabccc")
    with pytest.raises(IndexError, match="only 6 clients"):
        scenario.group_of(6)
