"""What the catalogue says of a data set."""

from collections.abc import Callable
from dataclasses import dataclass, field

from vqa_lib.records import Record, Scale


def by_name(record: Record) -> str:
    """Each record is a group of its own."""
    return record.name


def by_prompt(record: Record) -> str:
    """Records of one prompt are a group."""
    return record.prompt


@dataclass(frozen=True)
class Dataset:
    """A published data set: what it is, how it is read, where a person gets it.

    purpose: what the papers use it for. record: the type of its records. reader: called as reader(root, notes) and
    the options. scale: of the scores, None where there are none. counts: split -> published number of records, None
    where it is not known. licence, source: as its authors state them. layout: what is expected below the root.
    tables: the papers' tables and trainings that need it. note: what else a user should know, such as the row counts
    of re-exports. options: keyword of the reader -> what it is for; where the publication leaves something open.
    group: what must not be shared by training and test when the set is split (`splits.split_by_group`): the source
    scene or the prompt.
    """

    title: str
    purpose: str
    record: type
    reader: Callable[..., list[Record]]
    scale: Scale | None
    counts: dict[str, int | None]
    licence: str
    source: str
    layout: str
    tables: tuple[str, ...]
    note: str = ""
    options: dict[str, str] = field(default_factory=dict)
    group: Callable[[Record], str] = by_name
