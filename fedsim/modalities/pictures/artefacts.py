"""The drawings of a run on pictures: the private ones, and how their reconstructions emerged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from PIL import Image

from fedsim.log.schema import ExampleScore
from fedsim.modalities.pictures.measure import PSNR
from fedsim.show.artefacts import Artefact, Artefacts, Ended
from fedsim.show.figures import Emergence, animate, grid, save_png, strip
from fedsim.show.figures.pixels import FloatImage

STRIP_FRAMES = 9
MAX_PER_FIGURE = 48
"""Pictures in one figure of a round; every victim has its own strip, however many there are."""

Frames = list[tuple[int, FloatImage]]
Pictures = dict[str, list[tuple[Ended, ExampleScore]]]


class PictureArtefacts(Artefacts):
    """A strip for each picture; a figure and an animation for each round."""

    def of_victim(self, ended: Ended) -> Iterator[Artefact]:
        """Yield how each picture of one victim emerged, as in the paper's figures."""
        for score in ended.scores:
            frames = _frames(ended, score)
            if frames:
                original = ended.arrays["original"][score.example]
                draw = partial(_draw_strip, frames, original)
                yield Artefact(f"{ended.name(score.example)}.png", draw)

    def of_round(self, server_round: int, ended: Sequence[Ended]) -> Iterator[Artefact]:
        """Yield a round's pictures side by side, and an animation of them emerging."""
        shown = _limited(ended)
        if not shown:
            return
        name = f"round-{server_round:04d}"
        yield Artefact(f"{name}.png", partial(_draw_grid, shown))
        films = [
            Emergence(one.arrays["original"][score.example], frames, text)
            for text, pictures in shown.items()
            for one, score in pictures
            if (frames := _frames(one, score))
        ]
        if films:
            yield Artefact(f"{name}.gif", partial(animate, _in_step(films)))


def _draw_strip(frames: Frames, original: FloatImage, path: Path) -> None:
    shown = [(picture, str(number)) for number, picture in _spread(frames, STRIP_FRAMES)]
    save_png(strip(shown, original), path)


def _draw_grid(shown: Pictures, path: Path) -> None:
    save_png(_grid(shown), path)


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


def _limited(ended: Sequence[Ended]) -> Pictures:
    """Return the single pictures of each row, the same number of each at the most."""
    rows: Pictures = {}
    for one in ended:
        rows.setdefault(one.label, []).extend((one, score) for score in one.scores)
    most = max(1, MAX_PER_FIGURE // max(1, len(rows)))
    return {text: pictures[:most] for text, pictures in rows.items()}


def _grid(shown: Pictures) -> Image.Image:
    pictures: list[list[FloatImage | None]] = []
    captions: list[list[str]] = []
    for row in shown.values():
        pictures.append([])
        captions.append([])
        for one, score in row:
            frames, psnr = _frames(one, score), score.figure(PSNR)
            original = one.arrays["original"][score.example]
            pictures[-1] += [original, frames[-1][1] if frames else None]
            captions[-1] += ["private", "failed" if psnr is None else PSNR.show(psnr)]
    return grid(pictures, list(shown), captions=captions)


def _frames(ended: Ended, score: ExampleScore) -> Frames:
    """Return the snapshots of the reconstruction that belongs to one private picture."""
    arrays = ended.arrays
    if "matching" not in arrays or "history" not in arrays:
        return []
    found = int(arrays["matching"][score.example])
    at = arrays["evaluations"].tolist()
    return list(zip(at, arrays["history"][:, found], strict=True))


def _spread(frames: Frames, most: int) -> Frames:
    """Return at most so many frames, first and last included."""
    if len(frames) <= most:
        return list(frames)
    return [frames[round(i * (len(frames) - 1) / (most - 1))] for i in range(most)]
