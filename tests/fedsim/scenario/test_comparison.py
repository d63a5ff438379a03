"""What a comparison's file says, and what is wrong with it."""

import pytest

from fedsim.clients.defenses import Fp16, GaussianNoise
from fedsim.core.errors import ScenarioError
from fedsim.log.writer import SAFE_NAME
from fedsim.scenario.comparison import Comparison, comparisons, load_comparison
from fedsim.scenario.grid import Entry
from tests.fedsim.engine.tiny import TOML, tiny, tiny_sweep


def refusal(*overrides: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        tiny(*overrides)
    return str(caught.value)


def test_a_cell_for_each_strength_and_seed() -> None:
    cells = tiny().cells
    assert [(c.label, c.strength, c.seed) for c in cells] == [
        (label, strength, seed)
        for label, strength in (
            ("none", ""),
            ("noise", "std=0.001"),
            ("noise", "std=0.1"),
            ("batches", "batch_size=2"),
            ("batches", "batch_size=3"),
        )
        for seed in (0, 1)
    ]
    assert len({c.place for c in cells}) == len(cells)
    assert all(SAFE_NAME.fullmatch(c.place) for c in cells)


def test_cells_differ_in_nothing_but_what_they_compare() -> None:
    none, _, weak, _, strong, *_, batches = tiny().cells
    assert [g.defenses for g in none.scenario.clients] == [[]]
    assert weak.scenario.clients[0].defenses == [GaussianNoise(std=0.001), Fp16()]
    assert strong.scenario.clients[0].defenses == [GaussianNoise(std=0.1), Fp16()]
    assert (weak.value, strong.value, none.value) == (0.001, 0.1, None)
    assert batches.scenario.federation.batch_size == 3
    for cell in (none, weak, strong):
        assert cell.scenario.model == none.scenario.model
        assert cell.scenario.federation == none.scenario.federation
        assert cell.scenario.adversary == none.scenario.adversary
    plan = none.scenario.adversary
    assert plan is not None
    assert (plan.rounds, plan.per_round, plan.adaptive) == ([1, 2], 2, True)


def test_reads_what_it_writes() -> None:
    comparison = tiny("seeds=[3]", "clients=5")
    assert Comparison.from_toml(comparison.to_toml()) == comparison


@pytest.mark.parametrize(
    ("override", "reasons"),
    [
        ("seed=3", ["unknown key 'seed'", "did you mean 'seeds'?"]),
        ("last_evaluations=0", ["last_evaluations", "greater than or equal to 1"]),
        ("last_evaluations=3", ["last_evaluations: 3, but accuracy is measured 2 times"]),
        ("grid=[]", ["grid", "at least 1"]),
        ("seeds=[]", ["seeds", "at least 1"]),
        ("seeds=[1, 1]", ["seeds: a seed is listed twice"]),
        ("grid.1.defenses.0.std=[0.1, -0.1]", ["grid.1 (noise std=-0.1)", "std", "greater than"]),
        (
            "grid.1.defenses.1={name='fp16', sdt=3}",
            ["grid.1 (noise std=0.001)", "unknown key 'sdt'"],
        ),
        ("grid.1.defenses.0.name='gausian-noise'", ["did you mean 'gaussian-noise'?"]),
        ("grid.1.defenses.0.std=[]", ["noise: 'std' is an empty list"]),
        ("grid.2.defenses=[{name='pruning', fraction=[0.1]}]", ["are both lists", "[[grid]]"]),
        (
            "grid.2.defenses=[{name='pruning', fraction=[0.1]}]",
            ["'fraction' and 'federation.batch_size'", "sweep = true"],
        ),
        (
            "grid.2={sweep=true, defenses=[{name='clipping', norm=[1.0]}], set={'seed'=[1],"
            " 'federation.rounds'=[2]}}",
            ["all lists; expected at most 2 parameters to vary"],
        ),
        ("grid.2={sweep=true, set={'federation.rounds'=[]}}", ["is an empty list"]),
        ("grid.2.label='noise'", ["two entries have the name 'noise'", "label"]),
        ("stages={late=3}", ["'late' is round 3", "a round from 1 to 2"]),
        ("scenario.clients=[]", ["scenario.clients", "[[grid]]"]),
        ("scenario.federation.rounds=0", ["federation.rounds", "greater than or equal to 1"]),
        ("grid.2.set={'federation.size'=3}", ["unknown key 'size'"]),
    ],
)
def test_what_is_wrong_is_said(override: str, reasons: list[str]) -> None:
    message = refusal(override)
    assert message.startswith("tiny: ")
    for reason in reasons:
        assert reason in message


def test_an_attacker_over_rounds_needs_the_last_round() -> None:
    together = "scenario.adversary.rounds_together=true"
    plan = tiny(together).cells[0].scenario.adversary
    assert plan is not None
    assert (plan.rounds, plan.rounds_together) == ([1, 2], True)
    said = refusal(together, "stages={first=1}")
    assert "stages: scenario.adversary.rounds_together" in said
    assert "add a stage at round 2" in said


def test_a_sweep_tries_each_value_with_each_and_shares_equal_runs() -> None:
    sweep = tiny_sweep("seeds=[0]")
    found = [(c.settings, c.scenario.federation) for c in sweep.cells if c.settings]
    assert [dict(settings) for settings, _ in found] == [
        {"batch_size": b, "local_steps": s} for b in (1, 2, 4) for s in (1, 2)
    ]
    assert all((f.batch_size, f.local_steps) == (s[0][1], s[1][1]) for s, f in found)
    assert len(sweep.cells) == 7
    assert len(sweep.runs) == 6
    assert sweep.cells[1].place == sweep.cells[0].place
    assert (sweep.cells[2].strength, sweep.cells[2].value) == ("batch_size=1, local_steps=2", None)
    assert [p.place for p in sweep.places] == [c.place for c in sweep.cells]


def test_parameters_with_the_same_name_are_told_apart() -> None:
    both = Entry(sweep=True, set={"federation.rounds": [2], "model.rounds": [3]})
    assert both.strengths()[0].text == "federation.rounds=2, model.rounds=3"


def test_no_such_comparison() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'compare-paper'"):
        load_comparison("compare-papers")
    with pytest.raises(ScenarioError, match="not valid TOML"):
        Comparison.from_toml(TOML + "[")


@pytest.mark.parametrize("name", comparisons())
def test_bundled_ones_are_valid(name: str) -> None:
    comparison = load_comparison(name)
    assert comparison.description.strip()
    # The checks of the last one only warn, and change no upload.
    baseline = "five checks" if name == "malicious-checks" else "none"
    assert any(cell.defense == baseline for cell in comparison.cells)


@pytest.mark.parametrize("label", ["../../etc", "a/b", "\N{SKULL}", "x" * 40, ".."])
def test_labels_never_leave_the_folder(label: str) -> None:
    for cell in tiny(f"grid.1.label={label!r}").cells:
        assert SAFE_NAME.fullmatch(cell.place)
