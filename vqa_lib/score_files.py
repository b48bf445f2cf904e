"""Score files that belong to no data set: what `vqa score` does between reading its arguments and printing."""

import csv
from collections.abc import Iterator
from pathlib import Path

from vqa_lib.answers import parse_score, reasoning_text
from vqa_lib.models.families import encode
from vqa_lib.models.rollouts import respond
from vqa_lib.prompts import PROMPTS
from vqa_lib.video import FramePolicy, VideoError, read_frames

SUFFIXES = {
    "video": (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v"),
    "image": (".jpg", ".jpeg", ".png", ".bmp"),
}
COLUMNS = ["path", "score", "reasoning", "response"]


IMAGE_PROMPTS = ("vq_insight/image", "q_insight/official_score")


class ScoreError(ValueError):
    """Arguments of `vqa score` that cannot be used; the message names the argument and what was expected."""


def prompt_kind(prompt: str) -> str:
    """What a prompt asks about, "image" or "video".

    Raises:
        ScoreError: there is no such prompt, or it asks for something else than one score; the message lists those that
            do.
    """
    if prompt not in PROMPTS or not PROMPTS[prompt].single_score:
        known = ", ".join(name for name, known in PROMPTS.items() if known.single_score)
        what = "unknown prompt" if prompt not in PROMPTS else "no prompt for one score:"
        raise ScoreError(f"{what} {prompt!r}; the prompts are: {known}")
    return "image" if prompt in IMAGE_PROMPTS else "video"


def find_files(path: Path, kind: str) -> list[Path]:
    """The file itself, or the images or videos anywhere below a folder, in the order of their names.

    In a folder the suffix decides, in any case of letters; hidden files are passed over (macOS leaves `._clip.mp4`).

    Raises:
        ScoreError: nothing there, nothing of this kind below it, or a single file of the other kind.
    """
    other = "image" if kind == "video" else "video"
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES[kind] and file.is_file())
        found = [file for file in found if not file.name.startswith(".")]
        if not found:
            raise ScoreError(f"{path}: no {kind} below it; looked for {' '.join(SUFFIXES[kind])}")
        return found
    if not path.exists():
        raise ScoreError(f"{path}: no such file or folder")
    if path.suffix.lower() in SUFFIXES[other]:
        raise ScoreError(f"{path}: looks like {_article(other)}, but the prompt asks about {_article(kind)}")
    return [path]


def score_files(
    model,
    processor,
    files: list[Path],
    prompt: str,
    policy: FramePolicy,
    max_completion: int = 768,
    batch_size: int = 8,
    failures: list[VideoError] | None = None,
) -> Iterator[dict]:
    """One row a file, with COLUMNS as keys; score (on the prompt's scale) and reasoning are None where unreadable.

    batch_size: files decoded and answered together; the frames of one batch are in memory at a time.
    failures: takes the errors of files that cannot be decoded to the end, which are left out.

    Raises:
        VideoError: a file cannot be decoded, and `failures` is None.

    Example:
        rows = list(score_files(model, processor, [Path("clip.mp4")], "vq_insight/natural", FramePolicy(count=8)))
    """
    kind, scale = prompt_kind(prompt), PROMPTS[prompt].scale
    for start in range(0, len(files), batch_size):
        read, prompts = [], []
        for file in files[start : start + batch_size]:
            try:
                frames = read_frames(file, kind, policy)
            except VideoError as error:
                if failures is None:
                    raise
                failures.append(error)
                continue
            prompts.append(encode(processor, [(frames, kind)], PROMPTS[prompt].text))
            read.append(file)
        responses = respond(model, processor, prompts, max_completion) if read else []
        for file, (response,) in zip(read, responses, strict=True):
            score, reasoning = parse_score(response, scale), reasoning_text(response)
            yield dict(zip(COLUMNS, [str(file), score, reasoning and reasoning.strip(), response], strict=True))


def write_rows(rows: Iterator[dict], output: Path) -> Iterator[dict]:
    """The rows, each written to the CSV before it is handed on: a run that breaks off keeps what it has."""
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            file.flush()
            yield row


def check_output(output: Path, option: str = "--out") -> None:
    """Raise ScoreError unless the file of an option can be written, before anything is read or loaded."""
    if output.is_dir() or not output.parent.is_dir():
        expected = "a file, not a folder" if output.is_dir() else f"a file in a folder that exists, not {output.parent}"
        raise ScoreError(f"{option} {output}: expected {expected}")


def _article(kind: str) -> str:
    return "an image" if kind == "image" else "a video"
