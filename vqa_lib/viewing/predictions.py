"""A viewer for any predictions file: answers sorted by their error, each beside its clip and its reasoning."""

import json
from collections.abc import Sequence
from pathlib import Path

from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.loading import read_dataset
from vqa_lib.frame_cache import FrameCache
from vqa_lib.paths import resolve, shown
from vqa_lib.predictions import SIDES, PredictionsError, read_predictions
from vqa_lib.records import Question, Record
from vqa_lib.video import FramePolicy
from vqa_lib.viewing.page import clip_strip, render


def view_predictions(path: str | Path, store: FrameCache, data: str | Path | None = None, clips: int = 100) -> str:
    """A page that holds a file of predictions: sort by error, filter by words, set or kind, play the clip.

    path: a file of `predictions/` in a run folder. data: a folder that holds the data sets' folders; None: those that
    the run's parameters name. clips: of so many answers, the worst first, the page has the clip; of the others it names
    the file. The frames are those that the model was asked about, as the settings beside the file say, but in their own
    order where it was asked about shuffled ones; without settings eight of each clip.

    Raises:
        PredictionsError: there is no such file, it is empty, or a line of it is no prediction.
        DatasetError: annotations that are not as published.
        VideoError: a clip that cannot be read.

    Example:
        Path("answers.html").write_text(view_predictions("after.jsonl", FrameCache("frames"), "data"))
    """
    answers = worst_first(path, data)
    policy = shown_frames(path)
    strips = {}
    for _, record in answers[:clips]:
        for file in record.paths if record else ():
            if str(file) not in strips:
                strips[str(file)] = clip_strip(file, record.kind, policy, store)
    rows = []
    for answer, record in answers:
        files = [str(file) for file in record.paths] if record else []
        where = ", ".join(map(shown, files)) or "its data are not here"
        missing = f"This page does not hold its clip: {where}"
        rows.append(answer | {"clips": files, "missing": missing, "question": _asked(record)})
    note = f"The page holds the clips of {clips} of them, the worst." if clips < len(rows) else ""
    page = {"rows": rows, "clips": strips, "note": note}
    return render("predictions.html", title=f"What was answered: {shown(resolve(path))}", data=page)


def worst_first(path: str | Path, data: str | Path | None = None) -> list[tuple[dict, Record | None]]:
    """Each answer of a file of predictions, as `viewed` gives it, and its record: unreadable ones, then by error.

    data: as in `view_predictions`. A record is None where its data set is not there.

    Raises:
        PredictionsError: there is no such file, it is empty, or a line of it is no prediction.
        DatasetError: annotations that are not as published.
    """
    path = resolve(path)
    rows = read_predictions(path)
    if not rows:
        found = "nothing in it" if path.exists() else "none"
        raise PredictionsError(f"{path}: expected a file of predictions, found {found}")
    answers = [viewed(row, f"{path}, line {number}") for number, row in enumerate(rows, 1)]
    records = find_records(rows, data_folders(path) if data is None else [resolve(data)])
    return sorted(zip(answers, records, strict=True), key=lambda pair: _rank(pair[0]))


def shown_frames(path: str | Path) -> FramePolicy:
    """Which frames the model saw, by the settings beside a file of predictions; without them eight of each clip."""
    settings = resolve(path).with_suffix(".settings.json")
    return FramePolicy(**json.loads(settings.read_text())["policy"]) if settings.exists() else FramePolicy()


def viewed(row: dict, where: str = "") -> dict:
    """What the viewer shows of a line of a predictions file: truth and said in words, error, response and the rest.

    error: 0 is right. Of a score, how far it is from the truth on the scale of the answer; of several dimensions their
    mean. Of a pair, 1 where another clip was chosen than people prefer, of two orders the mean, an unreadable order
    being wrong. Of a question, 1 minus the probability of the true answer where that is known, else 0 or 1. None where
    nothing can be read or nothing is known.

    Raises:
        PredictionsError: no kind of prediction has these fields; `where` names the line.

    Example:
        >>> viewed({"dataset": "lsvq", "split": "test", "name": "a", "target": 3.5, "prediction": 4.0, "response": ""})[
        ...     "error"
        ... ]
        0.5
    """
    if "prediction" in row:
        truth, said, error = _score(row)
    elif any(name.startswith("prediction_") for name in row):
        truth, said, error = _dimensions(row)
    elif "preference" in row:
        truth, said, error = _preference(row)
    elif "true_answer" in row:
        truth, said, error = _answer(row)
    elif "description" in row:
        truth, said, error = None, row["description"], None
    else:
        raise PredictionsError(
            f"{where}: expected a prediction, a preference, an answer or a description; found {list(row)}"
        )
    responses = [row.get("response"), row.get("swapped_response")]
    return {
        "set": f"{row['dataset']}/{row['split']}",
        "name": row["name"],
        "truth": truth,
        "said": said,
        "error": error,
        "response": "\n\nIn the other order: ".join(text for text in responses if text),
    }


def _asked(record: Record | None) -> str | None:
    """What was asked of a record beside the recipe's words: its question with the options, or a generator's prompt."""
    if not isinstance(record, Question):
        return record and record.prompt
    options = zip(record.letters, record.options, strict=True)
    return " ".join([record.question, *(f"{letter}: {option}" for letter, option in options)])


def _score(row: dict) -> tuple[str | None, str | None, float | None]:
    truth, said = row.get("target"), row["prediction"]
    return _number(truth), _number(said), None if None in (truth, said) else abs(said - truth)


def _dimensions(row: dict) -> tuple[str | None, str | None, float | None]:
    names = [name.removeprefix("prediction_") for name in row if name.startswith("prediction_")]
    truth, said = ([row.get(f"{kind}_{name}") for name in names] for kind in ("target", "prediction"))
    read = [abs(a - b) for a, b in zip(truth, said, strict=True) if None not in (a, b)]
    error = sum(read) / len(read) if len(read) == len(names) else None
    return _numbers(names, truth), _numbers(names, said), error


def _numbers(names: Sequence[str], values: Sequence[float | None]) -> str | None:
    found = [f"{name} {value:.2f}" for name, value in zip(names, values, strict=True) if value is not None]
    return ", ".join(found) or None


def _preference(row: dict) -> tuple[str | None, str | None, float | None]:
    said = [row[name] for name in ("answer", "swapped_answer") if name in row]
    words = " and ".join(dict.fromkeys(answer or "unreadable" for answer in said)) if any(said) else None
    if row["preference"] not in SIDES or words is None:
        return row["preference"], words, None
    return row["preference"], words, sum(answer != row["preference"] for answer in said) / len(said)


def _answer(row: dict) -> tuple[str | None, str | None, float | None]:
    truth, said, chance = row["true_answer"], row["answer"], row.get("probability")
    if None in (truth, said):
        return truth, said, None
    if chance is not None:
        return truth, f"{said}, P(Yes) {chance:.2f}", 1 - chance if truth == "yes" else chance
    return truth, said, float(said != truth)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _rank(answer: dict) -> tuple[bool, float]:
    """For sorting: unreadable answers first, then by error, what has none last."""
    return answer["said"] is not None, -1.0 * (answer["error"] if answer["error"] is not None else -1)


def data_folders(path: Path) -> list[Path]:
    """The folders that the parameters of a run name, by a file of predictions in it; none where it is in no run."""
    record = path.parents[1] / "params.json"
    params = json.loads(record.read_text()) if record.exists() else {}
    return [resolve(value) for value in params.values() if isinstance(value, str) and value and resolve(value).is_dir()]


def find_records(rows: Sequence[dict], folders: Sequence[Path]) -> list[Record | None]:
    """The record that each line of a predictions file is about; None where its data set is not there.

    folders: each holds a folder a data set, by its name or, for the questions and pairs of one, by the name of that
    one. Splits are not compared: training may have split what the authors publish whole.

    Raises:
        DatasetError: annotations that are not as published.
    """
    known = {}
    for name in dict.fromkeys(row["dataset"] for row in rows):
        places = [folder / part for folder in folders for part in (name, name.rsplit("_", 1)[0])]
        if place := next((place for place in places if place.is_dir()), None):
            known |= {(name, record.name): record for record in read_dataset(name, place, Notes())}
    return [known.get((row["dataset"], row["name"])) for row in rows]
