"""Drawings of a run on pictures: private pictures and their emerging reconstructions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from PIL import Image

from fedsim.log.schema import ExampleScore, Meaning
from fedsim.modalities.pictures.beside import beside
from fedsim.modalities.pictures.measure import PSNR
from fedsim.show.artefacts import Artefact, Artefacts, Ended
from fedsim.show.figures import Emergence, animate, grid, save_png, strip
from fedsim.show.figures.pixels import FloatImage

STRIP_FRAMES = 9
MAX_STRIPS = 64
"""Maximum number of strips of a victim: those of the pictures that leaked most."""

MAX_PER_FIGURE = 48
"""Maximum number of pictures in a round's figure; every picture also has its own strip."""

Frames = list[tuple[int, FloatImage]]
Pictures = dict[str, list[tuple[Ended, ExampleScore]]]


class PictureArtefacts(Artefacts):
    """A strip for each picture; a figure and an animation for each round."""

    def of_victim(self, ended: Ended) -> Iterator[Artefact]:
        """Yield a strip of each emerging picture of one victim, as in the paper's figures."""
        for score in _worst(ended.scores):
            frames, shown = _frames(ended, score), beside(ended.arrays, score.example)
            if frames and shown is not None:
                last = "computed" if ended.found.film else ""
                draw = partial(_draw_strip, frames, shown[0], last)
                yield Artefact(f"{ended.name(score.example)}.png", draw)

    def of_round(self, server_round: int, ended: Sequence[Ended]) -> Iterator[Artefact]:
        """Yield a figure of a round's pictures, and an animation of their emergence."""
        shown = _limited(ended)
        if not shown:
            return
        name = f"round-{server_round:04d}"
        yield Artefact(f"{name}.png", partial(_draw_grid, shown))
        films = [
            Emergence(known[0], frames, text)
            for text, pictures in shown.items()
            for one, score in pictures
            if (frames := _frames(one, score)) and (known := beside(one.arrays, score.example))
        ]
        if films:
            yield Artefact(f"{name}.gif", partial(animate, _in_step(films)))


def _draw_strip(frames: Frames, original: FloatImage, last: str, path: Path) -> None:
    shown = [(picture, str(number)) for number, picture in _spread(frames, STRIP_FRAMES)]
    if last:  # the film of a search leads to a result that it did not find
        shown[-1] = shown[-1][0], last
    save_png(strip(shown, original), path)


def _draw_grid(shown: Pictures, path: Path) -> None:
    save_png(_grid(shown), path)


def _in_step(films: list[Emergence]) -> list[Emergence]:
    """Move each film's last frame to the next snapshot of the others.

    Lanes end at different evaluations; a frame of the animation for each of them would increase the
    size without showing more.
    """
    times = sorted({number for film in films for number, _ in film.frames[:-1]})
    latest = max(film.frames[-1][0] for film in films)

    def moved(film: Emergence) -> Emergence:
        end, picture = film.frames[-1]
        number = next((t for t in times if t >= end), latest)
        return replace(film, frames=[*film.frames[:-1], (number, picture)])

    return [moved(film) for film in films]


def _worst(scores: Sequence[ExampleScore]) -> list[ExampleScore]:
    """Return the ``MAX_STRIPS`` scores of the pictures that leaked most, by example."""

    def openness(score: ExampleScore) -> tuple[bool, bool, float]:
        meaning = score.meaning
        leaked = meaning is Meaning.LEAKED
        return leaked, leaked or meaning is Meaning.PARTLY, score.figure(PSNR) or 0.0

    kept = sorted(scores, key=openness, reverse=True)[:MAX_STRIPS]
    return sorted(kept, key=lambda score: score.example)


def _limited(ended: Sequence[Ended]) -> Pictures:
    """Return the single pictures of each row, limited to the same number for each."""
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
            frames, known = _frames(one, score), beside(one.arrays, score.example)
            picture, caption = (None, "unknown") if known is None else known
            pictures[-1] += [picture, frames[-1][1] if frames else None]
            captions[-1] += [caption, _said(score) if frames else "failed"]
    return grid(pictures, list(shown), captions=captions)


def _said(score: ExampleScore) -> str:
    """Return the figure of a reconstruction as a caption."""
    psnr = score.figure(PSNR)
    if psnr is not None:
        return PSNR.show(psnr)
    return "failed" if score.meaning is Meaning.UNSCORED else score.meaning.value


def _frames(ended: Ended, score: ExampleScore) -> Frames:
    """Return the snapshots of one private picture's reconstruction."""
    arrays = ended.arrays
    if "matching" not in arrays or "history" not in arrays:
        return []
    found = int(arrays["matching"][score.example])
    at = arrays["evaluations"].tolist()
    return list(zip(at, arrays["history"][:, found], strict=True))


def _spread(frames: Frames, most: int) -> Frames:
    """Return at most ``most`` frames, including the first and the last."""
    if len(frames) <= most:
        return list(frames)
    return [frames[round(i * (len(frames) - 1) / (most - 1))] for i in range(most)]
