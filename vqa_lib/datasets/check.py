"""Look a copy of a data set over: what is there, what is missing, what was refused. What `vqa check-data` prints."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.catalogue import DATASETS
from vqa_lib.datasets.dataset import Dataset
from vqa_lib.datasets.loading import missing_files, read_dataset
from vqa_lib.records import Pair, Question, Record, ScoredClip

SHOWN_FILES, SHOWN_ROWS, BINS = 10, 100, 10


@dataclass(frozen=True)
class Report:
    """What was found in a copy of a data set.

    records: of the rows that were not refused. refused: a line for each other row. missing: files that rows name and
    that are not there. unreadable: (path, reason), None where the files were not opened.
    """

    name: str
    root: Path
    annotation_files: list[Path]
    records: list[Record]
    refused: list[str]
    missing: list[Path]
    unreadable: list[tuple[Path, str]] | None

    @property
    def complete(self) -> bool:
        """Whether every row was read and every file is there (and, where opened, readable)."""
        return bool(self.records) and not (self.refused or self.missing or self.unreadable)


def check_dataset(name: str, root: str | Path, deep: bool = False, **options: str) -> Report:
    """Read all of a copy of a data set, going on after rows that are refused.

    deep: also open every file and decode one frame, in as many processes as there are cores.

    Raises:
        DatasetError: no such data set, folder or option, or an annotation file that cannot be read at all.
    """
    root, notes = Path(root), Notes(keep_going=True)
    records = read_dataset(name, root, notes, **options)
    missing = missing_files(records)
    unreadable = None
    if deep:
        from vqa_lib.video import check_readable

        absent = set(missing)
        kinds = {path: record.kind for record in records for path in record.paths if path not in absent}
        unreadable = check_readable(kinds.items(), workers=os.cpu_count())
    return Report(name, root, notes.files, records, notes.refused, missing, unreadable)


def report_lines(report: Report) -> list[str]:
    """The report as text, line by line."""
    dataset = DATASETS[report.name]
    files = len({path for record in report.records for path in record.paths})
    lines = [
        f"{report.name}: {dataset.title} in {report.root}",
        f"read: {', '.join(str(path.relative_to(report.root)) for path in report.annotation_files)}",
        f"found: {len(report.records):,} {dataset.record.__name__} records, {files - len(report.missing):,} files",
        f"missing: {_count(report.missing)}",
        *_first(SHOWN_FILES, [str(path.relative_to(report.root)) for path in report.missing]),
    ]
    if report.unreadable is None:
        lines.append("unreadable: not looked at; --deep decodes a frame of every file")
    else:
        told = [f"{path.relative_to(report.root)}: {reason}" for path, reason in report.unreadable]
        lines += [f"unreadable: {_count(told)}", *_first(SHOWN_FILES, told)]
    lines += [f"refused rows: {_count(report.refused)}", *_first(SHOWN_ROWS, report.refused)]
    lines += _contents(report.records)
    lines += ["splits:", *_splits(report.records, dataset)]
    if dataset.note:
        lines.append(f"note: {dataset.note}")
    return [*lines, "complete: every row was read, every file is there" if report.complete else "NOT complete"]


def _count(things: list) -> str:
    return f"{len(things):,}" if things else "none"


def _first(limit: int, things: list[str]) -> list[str]:
    more = [f"  ... and {len(things) - limit:,} more"] if len(things) > limit else []
    return [f"  {thing}" for thing in things[:limit]] + more


def _contents(records: list[Record]) -> list[str]:
    """Scores as a histogram for each dimension; preferences and answers as counts."""
    clips = [record for record in records if isinstance(record, ScoredClip)]
    lines = []
    for dimension in {dimension: None for clip in clips for dimension in clip.scores}:
        lines += _histogram(dimension, [clip for clip in clips if dimension in clip.scores])
    for kind, field in ((Pair, "preference"), (Question, "answer")):
        counts = Counter(getattr(record, field) for record in records if isinstance(record, kind))
        if counts:
            told = ", ".join(f"{value or 'none'} {count:,}" for value, count in counts.most_common())
            lines.append(f"{field}s: {told}")
    return lines


def _histogram(dimension: str, clips: list[ScoredClip]) -> list[str]:
    scores, scale = np.array([clip.scores[dimension] for clip in clips]), clips[0].scale
    better = "higher" if scale.higher_is_better else "lower"
    beyond = int(((scores < scale.low) | (scores > scale.high)).sum())
    lines = [
        f"{_shown(dimension)}: {scores.min():g} to {scores.max():g}, on a scale of {scale.low:g} to {scale.high:g}, "
        f"{better} is better" + (f"; {beyond:,} beyond the scale" if beyond else "")
    ]
    counts, edges = np.histogram(scores, BINS, (min(scale.low, scores.min()), max(scale.high, scores.max())))
    for count, low, high in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        lines.append(f"  {low:7.2f} - {high:7.2f} |{'#' * round(40 * count / counts.max()):<40} {count:,}")
    return lines


def _splits(records: list[Record], dataset: Dataset) -> list[str]:
    counts = Counter(record.split for record in records)
    lines = []
    for split in {**dict.fromkeys(dataset.counts), **dict.fromkeys(counts)}:
        published = dataset.counts.get(split)
        told = "published number not known" if published is None else f"published {published:,}"
        differs = "" if published in (None, counts[split]) else ", differs"
        lines.append(f"  {_shown(split)}: {counts[split]:,} ({told}{differs})")
    return lines


def _shown(text: str) -> str:
    return text if text.isprintable() else repr(text)  # what a terminal would obey is spelled out


def catalogue_lines() -> list[str]:
    """Every data set: what it is for, what it holds, where a person gets it. What `vqa data` prints."""
    lines = []
    for name, dataset in DATASETS.items():
        counts = ", ".join(f"{split} {'?' if n is None else f'{n:,}'}" for split, n in dataset.counts.items())
        scale = dataset.scale and f" on {dataset.scale.low:g}-{dataset.scale.high:g}"
        facts = {
            "for": dataset.purpose,
            "records": f"{dataset.record.__name__}{scale or ''}; {counts}",
            "tables": ", ".join(dataset.tables) or "none of the papers' tables",
            "licence": dataset.licence,
            "from": dataset.source,
            "layout": dataset.layout,
            "note": dataset.note,
            **{f"-o {option}=...": help_text for option, help_text in dataset.options.items()},
        }
        lines += ["", f"{name}: {dataset.title}"]
        lines += [f"  {label:<{10}} {fact}" for label, fact in facts.items() if fact]
    return lines[1:]
