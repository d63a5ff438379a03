"""Records of a run, written by hand."""

from fedsim.log.files import Record

BASELINES = {"grey": [8.0, 0.1], "mean": [11.0, 0.2], "nearest": [15.0, 0.4]}


def upload(partition: int, group: str, **changes: object) -> Record:
    return {
        "kind": "upload", "round": 1, "partition": partition, "group": group,
        "bytes": 53_704.0, "defenses": [], "problem": None, **changes,
    }  # fmt: skip


def leakage(victim: str, group: str | None, **changes: object) -> Record:
    return {
        "kind": "leakage", "victim": victim, "round": 1, "group": group, "attacker": "naive",
        "image": 0, "psnr": 41.0, "ssim": 0.9, "label": 3, "label_found": 3,
        "baselines": BASELINES, "meaning": "leaked", **changes,
    }  # fmt: skip


def reconstruction(victim: str, **changes: object) -> Record:
    return {
        "kind": "reconstruction", "victim": victim, "error": None, "approximate": False,
        "tensors": f"tensors/{victim}.safetensors", **changes,
    }  # fmt: skip


def accuracy(server_round: int, value: float) -> Record:
    return {"kind": "round", "round": server_round, "accuracy": value}
