"""What is wrong with a scenario is told with its source, its key and the nearest valid name."""

import json
from pathlib import Path

import pytest

from fedsim.clients.site import open_site
from fedsim.core.errors import DataError, ScenarioError
from fedsim.core.names import CONTROL
from fedsim.scenario import Scenario, load_scenario, scenario_text
from tests.fedsim.small import TOML, groups, refusal, small


@pytest.mark.parametrize(
    ("override", "key", "hint"),
    [
        ("sed=1", "unknown key 'sed' in the scenario", "did you mean 'seed'?"),
        ("data.datset='x'", "data: unknown key 'datset'", "did you mean 'dataset'?"),
        ("federation.round=3", "federation: unknown key 'round'", "did you mean 'rounds'?"),
        ("clients.0.defences=[]", "clients.0: unknown key 'defences'", "did you mean 'defenses'?"),
        ("adversary.victim='all'", "adversary: unknown key 'victim'", "did you mean 'victims'?"),
        ("model.width=3", "model: unknown key 'width' in model 'mlp'", "expected one of"),
        (
            "adversary.attack={name='dlg', evaluation=9}",
            "adversary.attack: unknown key 'evaluation' in attack 'dlg'",
            "did you mean 'evaluations'?",
        ),
        (
            "clients.0.defenses=['fp16', {name='gaussian-noise', sdt=1}]",
            "clients.0.defenses.1: unknown key 'sdt' in defense 'gaussian-noise'",
            "did you mean 'std'?",
        ),
        (
            "clients.0.defenses=[{name='fp16', bits=1}]",
            "clients.0.defenses.0: unknown key 'bits' in defense 'fp16'",
            "it takes no parameters",
        ),
        (
            "data.partition={name='dirichlet', alhpa=1}",
            "data.partition: unknown key 'alhpa'",
            "did you mean 'alpha'?",
        ),
    ],
)
def test_unknown_keys_at_each_level(override: str, key: str, hint: str) -> None:
    message = refusal(override)
    assert message.startswith("small: ")
    assert key in message
    assert hint in message


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("title=3", "title: "),
        ("seed='7'", "seed: "),
        ("seed=1.0", "seed: "),
        ("seed=true", "seed: "),
        ("data='iid'", "data: "),
        ("data.data_dir=1979-05-27", "data.data_dir: "),
        ("model=3", "model: "),
        ("model.hidden=4", "model.hidden: "),
        ("model.hidden=['4']", "model.hidden.0: "),
        ("federation=[]", "federation: "),
        ("federation.rounds='x'", "federation.rounds: "),
        ("federation.upload='gradients'", "federation.upload: "),
        ("clients={}", "clients: "),
        ("clients.0='plain'", "clients.0: "),
        ("clients.0.defenses='fp16'", "clients.0.defenses: "),
        ("clients.0.defenses=[{name='gaussian-noise', std='1'}]", "clients.0.defenses.0.std: "),
        ("clients.0.defenses=[{std=1}]", "clients.0.defenses.0: expected the name of one defense"),
        ("adversary.adaptive='no'", "adversary.adaptive: "),
        ("adversary.victims=3", "adversary.victims: "),
        ("adversary.attack={name=3}", "adversary.attack: expected the name of one attack"),
    ],
)
def test_wrong_types_name_source_and_key(override: str, key: str) -> None:
    assert f"small: {key}" in refusal(override)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.name='lenett'", "model: unknown model 'lenett': did you mean 'lenet'?"),
        ("data.dataset='cifar-10'", "unknown data set 'cifar-10': did you mean 'cifar10'?"),
        ("data.partition='idd'", "unknown partition 'idd': did you mean 'iid'?"),
        ("clients.0.defenses=['fp61']", "unknown defense 'fp61': did you mean 'fp16'?"),
        ("adversary.attack='ldg'", "unknown attack 'ldg': did you mean 'dlg'?"),
        ("adversary.victims=['plian']", "no client group is named 'plian': did you mean 'plain'?"),
        ("adversary.victims=['xyz']", "no client group is named 'xyz': expected one of 'plain'."),
    ],
)
def test_unknown_names_offer_the_nearest(override: str, expected: str) -> None:
    message = refusal(override)
    assert message.startswith("small: ")
    assert expected in message


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("seed=-1", "seed: "),
        (f"seed={2**63}", "seed: "),
        ("seed=" + "1" * 5000, "seed: "),
        ("federation.rounds=0", "federation.rounds: "),
        ("federation.batch_size=0", "federation.batch_size: "),
        ("federation.learning_rate=0.0", "federation.learning_rate: "),
        ("federation.learning_rate=inf", "federation.learning_rate: "),
        ("federation.learning_rate=nan", "federation.learning_rate: "),
        ("federation.fraction=1.5", "federation.fraction: "),
        ("federation.timeout_s=0", "federation.timeout_s: "),
        ("clients=[]", "clients: "),
        ("clients.0.count=0", "clients.0.count: "),
        ("clients.0.name=''", "clients.0.name: "),
        ("clients.0.defenses=[{name='gaussian-noise', std=-1e-3}]", "clients.0.defenses.0.std: "),
        ("clients.0.defenses=[{name='gaussian-noise', std=nan}]", "clients.0.defenses.0.std: "),
        ("clients.0.defenses=[{name='pruning', fraction=1.01}]", "clients.0.defenses.0.fraction: "),
        ("model.hidden=[0]", "model.hidden.0: "),
        ("data.partition={name='dirichlet', alpha=0.0}", "data.partition.alpha: "),
        ("adversary.per_round=0", "adversary.per_round: "),
        ("adversary.every=0", "adversary.every: "),
        ("adversary.time_limit_s=-1", "adversary.time_limit_s: "),
        ("adversary.attack={name='dlg', evaluations=0}", "adversary.attack.evaluations: "),
    ],
)
def test_numbers_out_of_range(override: str, key: str) -> None:
    assert f"small: {key}" in refusal(override)


def test_several_local_steps_need_updates() -> None:
    message = refusal("federation.local_steps=2")
    assert message.startswith("small: federation: local_steps = 2 needs upload = 'update'")
    assert small("federation.local_steps=2", "federation.upload=update").federation.local_steps == 2


DP_SGD = "[{name='dp-sgd', norm=1.0, noise_multiplier=1.0}]"


def test_dp_sgd_with_batch_normalisation_is_refused_at_once() -> None:
    message = refusal("model='resnet18'", groups("['fp16']", DP_SGD))
    assert message.startswith(
        "small: clients.1.defenses.0: 'dp-sgd' does not support model 'resnet18': its layer 'bn1'"
    )
    assert "lenet" in message
    assert "batch_norm = 'eval'" in message


@pytest.mark.parametrize(
    "model", ["{name='resnet18', batch_norm='eval'}", "lenet", "convnet", "mlp", "precode"]
)
def test_dp_sgd_with_other_models_is_not(model: str) -> None:
    small(f"model={model}", groups(DP_SGD))


def test_group_names_must_differ() -> None:
    assert "two groups are named 'a'" in refusal("clients=[{name='a'}, {name='b'}, {name='a'}]")


def test_no_group_may_pass_for_the_control() -> None:
    assert "small: clients.0.name: " in refusal(f"clients.0.name='{CONTROL}'")


def test_a_missing_parameter_is_named() -> None:
    message = refusal("clients.0.defenses=['gaussian-noise']")
    assert message == "small: clients.0.defenses.0.std: Field required"


def test_all_problems_are_told_at_once() -> None:
    lines = refusal("seed=-1", "federation.rounds=0", "clients.0.count='many'").split("\n")
    assert [line.split(":")[1].strip() for line in lines] == [
        "seed",
        "federation.rounds",
        "clients.0.count",
    ]


@pytest.mark.parametrize(
    "text",
    ["title = ", "a = [", "[data\n", "x" * 10, "a = 1\na = 2", "n = " + "9" * 5000, "\x00"],
    ids=["no value", "open list", "open table", "a word", "twice", "too long", "nul"],
)
def test_broken_toml(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"^mine\.toml: not valid TOML: "):
        Scenario.from_toml(text, "mine.toml")


def test_toml_that_is_nested_too_deep() -> None:
    with pytest.raises(ScenarioError, match="deep: not valid TOML"):
        Scenario.from_toml("a = " + "[" * 5000 + "]" * 5000, "deep")


def test_a_missing_file_offers_the_nearest_bundled_scenario() -> None:
    with pytest.raises(ScenarioError, match=r"'quikstart'.*did you mean 'quickstart'"):
        load_scenario("quikstart")
    with pytest.raises(ScenarioError, match="neither a file nor a bundled scenario"):
        load_scenario("no/such/file.toml")


def test_a_folder_is_no_scenario(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="neither a file"):
        load_scenario(str(tmp_path))


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "picture.toml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ScenarioError, match=r"picture\.toml: cannot be read as text"):
        load_scenario(str(path))


def test_a_file_is_the_source_of_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML + "cuont = 3\n", encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(str(path))
    assert str(caught.value).startswith(f"{path}: clients.0: unknown key 'cuont'")
    assert scenario_text(str(path)) == (path.read_text("utf-8"), str(path))


@pytest.mark.parametrize(
    "override",
    [
        "data.data_dir='~no-such-user/sets'",
        "data.dataset={name='folder', path='~no-such-user/pictures'}",
    ],
)
def test_folders_of_nobody_are_refused(override: str) -> None:
    assert "small: data." in refusal(override)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["clients.0.count=2001"], "2000 images out among 2001 clients"),
        (["federation.batch_size=700"], "federation.batch_size = 700, but client"),
        (
            ["federation.batch_size=501", "adversary={}"],
            "federation.batch_size = 501, but the data set has only 500 test examples",
        ),
        (["data.dataset={name='folder', path='/no/such/folder'}"], "/no/such/folder"),
    ],
)
def test_data_that_do_not_suffice(overrides: list[str], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        open_site(small(*overrides))


@pytest.mark.parametrize("text", ["a\u001b[31mred", "two\nlines", "bell\u0007"])
def test_names_cannot_steer_a_terminal(text: str) -> None:
    for key in ("title", "clients.0.name"):
        assert "control characters" in refusal(f"{key}={json.dumps(text)}")


@pytest.mark.parametrize(
    ("federation", "message"),
    [
        ("local_epochs=2", "local_epochs = 2 needs upload = 'update'"),
        ("upload='update', local_epochs=2, local_steps=3", "both set the number of steps; remove"),
        ("optimizer={name='sgd', nesterov=true}", "nesterov = true needs momentum > 0; set momen"),
        ("optimizer='adamm'", "unknown optimizer 'adamm': did you mean 'adam'"),
        ("optimizer={name='adam', momentum=0.9}", "unknown key 'momentum' in optimizer 'adam'"),
    ],
)
def test_impossible_local_training_names_key_and_remedy(federation: str, message: str) -> None:
    found = refusal(f"federation={{{federation}}}")
    assert found.startswith("small: federation")
    assert message in found
