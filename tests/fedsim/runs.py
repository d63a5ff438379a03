"""Records of a run, each complete, with what a test wants to be different."""

from collections.abc import Sequence
from typing import Any

from fedsim.log.schema import (
    Component,
    Doubt,
    LeakageRecord,
    Meaning,
    ReconstructionRecord,
    RoundRecord,
    RunEnded,
    RunStarted,
    UploadRecord,
    Verdict,
)
from tests.fedsim.log.samples import ENDED, LEAKAGE, PICTURE, RECONSTRUCTION, STARTED, UPLOAD

BASELINES = PICTURE.baselines
VERDICTS = {
    Meaning.LEAKED: Verdict.RECOGNISABLE,
    Meaning.PARTLY: Verdict.PARTLY,
    Meaning.UNSCORED: Verdict.UNSCORED,
}


def started(**changes: Any) -> RunStarted:
    return changed(STARTED, changes)


def upload(partition: int, group: str, **changes: Any) -> UploadRecord:
    """Return an upload; ``defenses`` are tables as a scenario has them."""
    changes["defenses"] = Component.chain(changes.get("defenses", ()))
    plain = {"bytes": 53_704.0, "did": {}, "privacy": None}
    return changed(UPLOAD, {**plain, "partition": partition, "group": group, **changes})


def leakage(
    victim: str,
    group: str | None,
    *,
    psnr: float | None = 41.0,
    meaning: str = Meaning.LEAKED,
    example: int = 0,
    baselines: dict[str, dict[str, float]] = BASELINES,
    label_found: int | None = 3,
    doubts: Sequence[str] = (),
    **changes: Any,
) -> LeakageRecord:
    score = {
        "example": example,
        "metrics": {} if psnr is None else {"psnr": psnr, "ssim": 0.9},
        "label_found": None if psnr is None else label_found,
        "baselines": baselines,
        "verdict": VERDICTS.get(Meaning(meaning), Verdict.GUESSING),
        "meaning": Meaning(meaning),
        "doubts": tuple(Doubt(doubt) for doubt in doubts),
    }
    about = {"victim": victim, "group": group, "score": changed(PICTURE, score)}
    return changed(LEAKAGE, {**about, **changes})


def reconstruction(victim: str, **changes: Any) -> ReconstructionRecord:
    tensors = f"tensors/{victim}.safetensors"
    return changed(RECONSTRUCTION, {"victim": victim, "tensors": tensors, **changes})


def accuracy(server_round: int, value: float) -> RoundRecord:
    return RoundRecord(round=server_round, accuracy=value)


def ended(**changes: Any) -> RunEnded:
    return changed(ENDED, changes)


def changed(record: Any, changes: dict[str, Any]) -> Any:
    """Return a record with other values, which are checked."""
    return type(record)(**{**dict(record), **changes})
