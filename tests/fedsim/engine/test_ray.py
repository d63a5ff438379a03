"""Ray's workers give the uploads, the sums and the models that this process gives.

Each run waits for Ray to start, which is nine tenths of its time: CI runs these by their marker.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from fedsim.engine import run
from fedsim.log.reader import load_tensors, of_kind, read_records
from fedsim.log.schema import SumRecord, UploadRecord
from fedsim.scenario import Scenario
from tests.fedsim.small import groups, small
from tests.packaging.folders import full_of_others
from tests.server.wire import same

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

NOISE = "[{name='gaussian-noise', std=1e-3}]"
ON_RAY = """
from pathlib import Path
from fedsim.engine import run
from fedsim.scenario import load_scenario
run(load_scenario("case.toml"), Path("ray"), engine="ray")
"""


def on_ray(case: Scenario, folder: Path) -> Path:
    """Return the run folder of a process that says nothing.

    It works beside modules with the names of fedsim's parts, which its workers do not see.
    """
    (full_of_others(folder) / "case.toml").write_text(case.to_toml(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", ON_RAY], cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    return folder / "ray"


def test_it_gives_what_inline_gives(tmp_path: Path) -> None:
    case = small(groups(NOISE, "['fp16']", "[]"))
    inline, ray = run(case, tmp_path / "inline"), on_ray(case, tmp_path / "work")
    uploads = of_kind(read_records(ray), UploadRecord)
    assert len(uploads) == 2 * 3
    assert uploads == of_kind(read_records(inline), UploadRecord)
    assert [u.problem for u in uploads] == [None] * 6
    assert same(*[load_tensors(f, "tensors/final-model.safetensors") for f in (inline, ray)])
    assert "Starting Eavesdropper strategy" in (ray / "flower.log").read_text("utf-8")


def test_it_gives_the_sum_that_inline_gives(tmp_path: Path) -> None:
    case = small("federation.aggregation=secagg+", "clients.0.count=4")
    folders = [run(case, tmp_path / "inline"), on_ray(case, tmp_path / "work")]
    inline, ray = ([r.digest for r in of_kind(read_records(f), SumRecord)] for f in folders)
    assert inline == ray
    assert None not in ray
    assert same(*[load_tensors(f, "tensors/final-model.safetensors") for f in folders])
