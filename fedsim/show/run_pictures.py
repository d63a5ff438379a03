"""The pictures of a run: what was private, what was rebuilt, and how it emerged."""

import sys
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image
from torch import Tensor

from fedsim.core.measures import PSNR
from fedsim.log.schema import CONTROL, NAIVE
from fedsim.log.writer import RunLog
from fedsim.scenario import Scenario
from fedsim.scoring import Scored
from fedsim.server.victims import Outcome, Victim, group_name
from fedsim.show.figures import Emergence, animate, grid, save_png, strip
from fedsim.show.figures.pixels import FloatImage

STRIP_FRAMES = 9
MAX_PER_FIGURE = 48
"""Pictures in one figure of a round; every victim has its own strip, however many there are."""

Result = tuple[Outcome, Scored]


def draw_victim(log: RunLog, outcome: Outcome, scored: Scored) -> None:
    """Draw how each picture of one victim emerged, as in the paper's figures."""
    for image in range(len(scored.leakage)):
        frames = _frames(outcome, scored, image)
        if frames:
            suffix = f"-{image}" if len(scored.leakage) > 1 else ""
            figure = strip(
                [(picture, str(number)) for number, picture in _spread(frames, STRIP_FRAMES)],
                _array(scored.originals[image]),
            )
            save_png(figure, log.picture_path(f"{outcome.victim.name}{suffix}.png"))


def draw_round(log: RunLog, scenario: Scenario, server_round: int, results: list[Result]) -> None:
    """Draw a round's pictures side by side, and an animation of them emerging."""
    rows: dict[str, list[Result]] = {}
    for outcome, scored in sorted(results, key=_place):
        rows.setdefault(label(scenario, outcome.victim), []).append((outcome, scored))
    shown = _limited(rows)
    if not shown:
        return
    name = f"round-{server_round:04d}"
    save_png(_grid(shown), log.picture_path(f"{name}.png"))
    films = [
        Emergence(_array(scored.originals[image]), frames, text)
        for text, pictures in shown.items()
        for outcome, scored, image in pictures
        if (frames := _frames(outcome, scored, image))
    ]
    if films:
        animate(_in_step(films), log.picture_path(f"{name}.gif"))


def _in_step(films: list[Emergence]) -> list[Emergence]:
    """Move each film's last frame to the next snapshot of the others.

    Lanes end at evaluations of their own; a frame of the animation for each of them would show
    no more and weigh a multiple.
    """
    times = sorted({number for film in films for number, _ in film.frames[:-1]})
    latest = max(film.frames[-1][0] for film in films)

    def moved(film: Emergence) -> Emergence:
        end, picture = film.frames[-1]
        number = next((t for t in times if t >= end), latest)
        return replace(film, frames=[*film.frames[:-1], (number, picture)])

    return [moved(film) for film in films]


def label(scenario: Scenario, victim: Victim) -> str:
    """Return what to call a victim's group, and its attacker where he is no naive one."""
    group = group_name(scenario, victim)
    if group is None:
        return CONTROL
    return group if victim.attacker == NAIVE else f"{group} ({victim.attacker})"


def _place(result: Result) -> tuple[int, bool]:
    """Order results by client, the naive attacker first and the control last."""
    victim = result[0].victim
    partition = sys.maxsize if victim.is_control else victim.partitions[0]
    return partition, victim.attacker != NAIVE


Pictures = dict[str, list[tuple[Outcome, Scored, int]]]


def _limited(rows: dict[str, list[Result]]) -> Pictures:
    """Return the single pictures of each row, the same number of each at the most."""
    most = max(1, MAX_PER_FIGURE // max(1, len(rows)))
    return {
        text: [(o, s, image) for o, s in results for image in range(len(s.leakage))][:most]
        for text, results in rows.items()
    }


def _grid(shown: Pictures) -> Image.Image:
    pictures: list[list[FloatImage | None]] = []
    captions: list[list[str]] = []
    for results in shown.values():
        pictures.append([])
        captions.append([])
        for outcome, scored, image in results:
            frames = _frames(outcome, scored, image)
            psnr = scored.leakage[image].figure(PSNR)
            pictures[-1] += [_array(scored.originals[image]), frames[-1][1] if frames else None]
            captions[-1] += ["private", "failed" if psnr is None else f"{psnr:.0f} dB"]
    return grid(pictures, list(shown), captions=captions)


def _frames(outcome: Outcome, scored: Scored, image: int) -> list[tuple[int, FloatImage]]:
    """Return the snapshots of the reconstruction that belongs to one private picture."""
    if scored.matching is None:
        return []
    found = int(scored.matching[image])
    return [(s.evaluation, _array(s.data[found])) for s in outcome.reconstruction.history]


def _spread(frames: Sequence[tuple[int, FloatImage]], most: int) -> list[tuple[int, FloatImage]]:
    """Return at most so many frames, first and last included."""
    if len(frames) <= most:
        return list(frames)
    return [frames[round(i * (len(frames) - 1) / (most - 1))] for i in range(most)]


def _array(picture: Tensor) -> FloatImage:
    array: FloatImage = picture.detach().cpu().numpy()
    return array
