"""What the data sets hold, whatever file format they come in: one record type per task.

Scores stay on the published scale; `rescale` is the one place that maps them to another.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Scale:
    """The range a score lives on, and its direction.

    Example:
        >>> Scale(1, 5).contains(3.2)
        True
    """

    low: float
    high: float
    higher_is_better: bool = True

    def __post_init__(self):
        if not self.low < self.high:
            raise ValueError(f"Scale needs low < high, got low={self.low}, high={self.high}")

    def contains(self, score: float) -> bool:
        return self.low <= score <= self.high


def rescale(score: float, source: Scale, target: Scale) -> float:
    """Map a score linearly from one scale to another, turning it round where the directions differ.

    Source: ours; the papers train on 1-5 or 0-100 and do not print the map.

    Example:
        >>> rescale(3.0, Scale(1, 5), Scale(0, 100))
        50.0
    """
    position = (score - source.low) / (source.high - source.low)
    if source.higher_is_better != target.higher_is_better:
        position = 1 - position
    return target.low + position * (target.high - target.low)


KINDS = ("image", "video")
PREFERENCES = ("first", "second", "tie", "both_bad")


def _check_kind(record) -> None:
    if record.kind not in KINDS:
        raise ValueError(f"{record.dataset}/{record.name}: kind must be 'image' or 'video', got {record.kind!r}")


@dataclass(frozen=True)
class ScoredClip:
    """An image or a video with mean opinion scores.

    name: the published name, unique within its data set. path: the file. kind: "image" or "video".
    scores: dimension -> MOS on `scale` (natural video has the one dimension "overall"); a few published scores lie
    beyond their scale, and stay as published. sd: standard deviation of the raters, prompt: the text that a
    generator was given, both where published.

    Example:
        >>> ScoredClip("a", Path("a.mp4"), "video", {"overall": 3.5}, Scale(1, 5), "konvid", "all").mos
        3.5
    """

    name: str
    path: Path
    kind: str
    scores: dict[str, float] = field(hash=False)
    scale: Scale
    dataset: str
    split: str
    sd: float | None = None
    prompt: str | None = None

    def __post_init__(self):
        _check_kind(self)

    @property
    def mos(self) -> float:
        """The single score of a clip that has one dimension."""
        if len(self.scores) != 1:
            raise ValueError(f"{self.dataset}/{self.name} has the dimensions {sorted(self.scores)}, not one score")
        return next(iter(self.scores.values()))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the record."""
        return (self.path,)


@dataclass(frozen=True)
class Pair:
    """Two clips of one prompt, or of one scene, and which of them people prefer.

    name: unique within its data set. first, second: the files. kind: "image" or "video", of both.
    preference: "first", "second", "tie", or "both_bad" where the votes have that answer; None where nobody was asked.
    prompt: the text that the generators were given, where published.

    Example:
        >>> Pair("7", Path("a.mp4"), Path("b.mp4"), "video", "first", "genai_bench", "test", "a cat").preference
        'first'
    """

    name: str
    first: Path
    second: Path
    kind: str
    preference: str | None
    dataset: str
    split: str
    prompt: str | None = None

    def __post_init__(self):
        _check_kind(self)
        if self.preference not in (*PREFERENCES, None):
            raise ValueError(
                f"{self.dataset}/{self.name}: preference must be one of {PREFERENCES}, got {self.preference!r}"
            )
        if self.first == self.second:
            raise ValueError(f"{self.dataset}/{self.name}: a pair of {self.first.name!r} with itself")

    def swapped(self) -> "Pair":
        """The same pair with the clips in the other order."""
        turned = {"first": "second", "second": "first"}.get(self.preference, self.preference)
        return replace(self, name=f"{self.name}/swapped", first=self.second, second=self.first, preference=turned)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the record."""
        return (self.first, self.second)


@dataclass(frozen=True)
class Question:
    """A question about a clip, or about two, and the published answer.

    name: unique within its data set. path: the file; second: the other file of a question about two.
    options: the choices in their order, and `answer` is the letter of one, "A" the first; without options the
    question is one of yes or no, and `answer` "yes" or "no". answer is None where it is not published.
    category: what kind of question, dimension: which side of quality, prompt: the text that the generator was given,
    entity: which thing of that text, polarity: the answer that speaks for the clip ("yes" or "no"), reason: why the
    answer is what it is; each where published, None elsewhere.

    Example:
        >>> Question("1", Path("a.mp4"), "video", "Blurred?", (), "yes", "finevd_questions", "test").letters
        ()
        >>> Question("2", Path("a.mp4"), "video", "Why?", ("blur", "noise"), "B", "finevd_questions", "test").letters
        ('A', 'B')
    """

    name: str
    path: Path
    kind: str
    question: str
    options: tuple[str, ...]
    answer: str | None
    dataset: str
    split: str
    category: str | None = None
    dimension: str | None = None
    prompt: str | None = None
    entity: str | None = None
    polarity: str | None = None
    reason: str | None = None
    second: Path | None = None

    def __post_init__(self):
        _check_kind(self)
        where = f"{self.dataset}/{self.name}"
        if not self.question:
            raise ValueError(f"{where}: the question is empty")
        if len(self.options) == 1 or len(self.options) > 26:
            raise ValueError(f"{where}: a choice needs 2 to 26 options, got {len(self.options)}")
        answers = self.letters or ("yes", "no")
        if self.answer is not None and self.answer not in answers:
            raise ValueError(f"{where}: the answer must be one of {answers}, got {self.answer!r}")
        if self.polarity not in (None, "yes", "no"):
            raise ValueError(f"{where}: polarity must be 'yes' or 'no', got {self.polarity!r}")

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the options."""
        return tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(self.options)])

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the record."""
        return (self.path,) if self.second is None else (self.path, self.second)


@dataclass(frozen=True)
class Prompt:
    """A text for a generator; there is no file yet.

    Example:
        >>> Prompt("1", "a cat on a roof", "vidprom", "all").paths
        ()
    """

    name: str
    text: str
    dataset: str
    split: str

    def __post_init__(self):
        if not self.text:
            raise ValueError(f"{self.dataset}/{self.name}: the prompt is empty")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the record: none."""
        return ()


Record = ScoredClip | Pair | Question | Prompt
