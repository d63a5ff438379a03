"""The package of docs/extending.md: built from the page, checked and run."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
MARK = r"`my_fedsim/(\w+\.py)`:\n\n```python\n(.*?)^```"

USE = """
import warnings

import fedsim
from fedsim.log.schema import LeakageRecord
from fedsim.testing import (
    check_attack, check_countermeasure, check_dataset, check_defense, check_metric, check_model,
)

warnings.simplefilter("error", fedsim.FedsimWarning)
check_attack("cosine")
check_defense("relative-noise")
check_countermeasure("relative-noise")
check_model("perceptron")
check_dataset("stripes")
check_metric("edge_similarity")
run = fedsim.run(
    {
        "data": {"dataset": "stripes"},
        "model": "perceptron",
        "federation": {"rounds": 1},
        "clients": [
            {"name": "open"},
            {"name": "noisy", "defenses": [{"name": "relative-noise", "share": 0.1}, "fp16"]},
        ],
        "adversary": {"attack": {"name": "cosine", "evaluations": 20}, "adaptive": True},
    },
    out="run",
)
told = {(row["clients"], row["attacker"]): row["defense"] for row in run.table()}
assert "relative-noise" in told["noisy", "adaptive"], told
scores = [r.score for r in run.records if isinstance(r, LeakageRecord)]
figures = [score.metrics["edge_similarity"] for score in scores]
assert len(figures) >= 3 and all(0 <= figure <= 1 for figure in figures), figures
assert all(0 <= blind["edge_similarity"] <= 1 for s in scores for blind in s.baselines.values())
assert "%2Cedge_similarity%2C" in run.write_report().read_text("utf-8")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Build the package and its entry points in a folder."""
    text = PAGE.read_text("utf-8")
    files = dict(re.findall(MARK, text, flags=re.DOTALL | re.MULTILINE))
    assert set(files) == {
        "cosine.py",
        "relative_noise.py",
        "perceptron.py",
        "stripes.py",
        "edges.py",
    }
    (tmp_path / "my_fedsim").mkdir()
    for name, code in {"__init__.py": "", **files}.items():
        (tmp_path / "my_fedsim" / name).write_text(code)
    [table] = re.findall(r"^```toml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    groups = tomllib.loads(table)["project"]["entry-points"]
    lines = [
        line
        for group, entries in groups.items()
        for line in (f"[{group}]", *(f"{name} = {module}" for name, module in entries.items()))
    ]
    about = tmp_path / "my_fedsim-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-fedsim\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.slow
def test_it_keeps_to_the_contracts_and_runs(package: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
