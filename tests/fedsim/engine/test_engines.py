"""Every engine gives the same uploads and the same model."""

from pathlib import Path

import pytest

from fedsim.engine import run
from fedsim.log.reader import load_tensors, of_kind, read_records
from fedsim.log.schema import UploadRecord
from tests.fedsim.small import groups, small
from tests.server.wire import same

NOISE = "[{name='gaussian-noise', std=1e-3}]"


def uploads(folder: Path) -> list[UploadRecord]:
    return of_kind(read_records(folder), UploadRecord)


@pytest.mark.timeout(240)
def test_ray_gives_what_inline_gives(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    case = small(groups(NOISE, "['fp16']", "[]"))
    inline = run(case, tmp_path / "inline")
    ray = run(case, tmp_path / "ray", engine="ray")
    assert capfd.readouterr() == ("", "")
    assert len(uploads(ray)) == 2 * 3
    assert uploads(ray) == uploads(inline)
    assert [u.problem for u in uploads(ray)] == [None] * 6
    models = [load_tensors(f, "tensors/final-model.safetensors") for f in (inline, ray)]
    assert same(*models)
    log = (ray / "flower.log").read_text("utf-8")
    assert "Starting Eavesdropper strategy" in log
