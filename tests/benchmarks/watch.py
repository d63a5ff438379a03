"""The benchmark's own look at a running attack, which sees nothing of it."""

import time

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fedsim.attacks import Progress
from fedsim.scoring.metrics.images import psnr
from tests.benchmarks.device import synchronise


class Reached(Exception):  # noqa: N818 - no error
    """Raised in a peer that the benchmark stops."""


class Watch:
    """A clock that notes when each victim has reached a PSNR, and stands still while it looks.

    Args:
        truths: ``(V, C, H, W)``, one picture of each victim.
        device: of the attack.
        goal_db: PSNR in dB from which on a victim counts.
        stops: whether the attack ends as soon as all victims have reached it.
        at_once: whether it ends at the first look, to time a first call.
    """

    def __init__(
        self,
        truths: Tensor,
        device: str,
        *,
        goal_db: float = 30.0,
        stops: bool = False,
        at_once: bool = False,
    ) -> None:
        self._truths, self._device, self._goal = truths, device, goal_db
        self._stops, self._at_once = stops, at_once
        self._looks, self._looking = 0, 0.0
        synchronise(device)
        self._began = time.perf_counter()
        self.count = len(truths)
        self.reached: dict[int, float] = {}
        """Seconds after which each victim had reached the PSNR for the first time."""

    def seconds(self) -> float:
        """Return the seconds so far, without those spent on looking."""
        synchronise(self._device)
        return time.perf_counter() - self._began - self._looking

    def until_all(self, ended: float) -> float:
        """Return the seconds until all victims had reached the PSNR; ``ended`` if one never did."""
        everyone = len(self.reached) == len(self._truths)
        return max(self.reached.values()) if everyone else ended

    def should_stop(self) -> bool:
        """Tell one of our attacks whether to end."""
        everyone = self._stops and len(self.reached) == len(self._truths)
        return everyone or (self._at_once and self._looks > 0)

    def on_progress(self, progress: Progress) -> None:
        """Look at the lanes of one of our attacks; a victim has reached what a lane of it has."""
        now = self.seconds()
        self.look(progress.victims.tolist(), progress.data().flatten(0, 1), now)

    def look(self, victims: list[int], data: Tensor, now: float) -> None:
        """Note which victims have reached the PSNR.

        Args:
            victims: the victim of each picture.
            data: ``(N, C, H, W)``; clamped to [0, 1] before it is scored.
            now: seconds of the clock at which the data were there.
        """
        self._looks += 1
        pictures = data.detach().cpu().float().nan_to_num(0.0).clamp(0, 1)
        scores = psnr(pictures, self._truths[victims])
        for victim, score in zip(victims, scores.tolist(), strict=True):
            if score >= self._goal:
                self.reached.setdefault(victim, now)
        self._looking += self.seconds() - now

    def on_inputs(self, model: nn.Module) -> RemovableHandle:
        """Look at all that a peer that attacks this one victim gives to the model.

        Copies of the model keep the hook. It raises `Reached` where `should_stop` is true.
        """

        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if inputs[0].shape == self._truths.shape:
                self.look([0], inputs[0], self.seconds())
                if self.should_stop():
                    raise Reached

        return model.register_forward_pre_hook(hook)


def score_of(found: Tensor, truth: Tensor) -> float:
    """Return the PSNR in dB of a peer's data; 0 if they are not finite."""
    if not bool(torch.isfinite(found).all()):
        return 0.0
    return float(psnr(found.cpu().clamp(0, 1), truth))
