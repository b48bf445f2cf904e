"""What the data sets hold, whatever file format they come in: one record type per task.

Scores stay on the published scale; `rescale` is the one place that maps them to another.
"""

from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class ScoredClip:
    """An image or a video with mean opinion scores.

    name: the published name, unique within its data set. path: the file. kind: "image" or "video".
    scores: dimension -> MOS on `scale` (natural video has the one dimension "overall").
    sd: standard deviation of the raters, where published.
    """

    name: str
    path: Path
    kind: str
    scores: dict[str, float] = field(hash=False)
    scale: Scale
    dataset: str
    split: str
    sd: float | None = None

    def __post_init__(self):
        if self.kind not in ("image", "video"):
            raise ValueError(f"{self.dataset}/{self.name}: kind must be 'image' or 'video', got {self.kind!r}")

    @property
    def mos(self) -> float:
        """The single score of a clip that has one dimension."""
        if len(self.scores) != 1:
            raise ValueError(f"{self.dataset}/{self.name} has the dimensions {sorted(self.scores)}, not one score")
        return next(iter(self.scores.values()))
