"""Curves and samples of a training, to be watched while it goes on: what `log.jsonl` and `samples.jsonl` hold."""

import contextlib
import contextvars
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from IPython.display import HTML, display

from vqa_lib.frame_cache import FrameCache
from vqa_lib.paths import shown
from vqa_lib.training.common import read_log
from vqa_lib.video import FramePolicy
from vqa_lib.viewing.page import clip_strip, framed, render

HEIGHT = 620  # pixels of the frame in the notebook
KEPT = 6  # groups that the view holds, spread over the steps
CURVES = ("reward", "unparsed", "completions/mean_length", "kl", "loss", "implicit_accuracy")
WORDS = {"unparsed": "unparsed answers", "completions/mean_length": "tokens a response", "kl": "KL to the reference"}


@contextlib.contextmanager
def watch_training(
    folder: str | Path, policy: FramePolicy | None = None, store: FrameCache | None = None, every: float = 5.0
) -> Iterator[None]:
    """Show in the notebook, while the block runs, how a training in `folder` goes; what it showed last stays.

    The curves of reward components and loss; of GRPO also groups of responses beside their clip, each with its rewards
    and advantage. It only reads the files of the training, which may run in other processes. policy, store: of the
    training, for the frames of its clips; without them none are shown. every: seconds between two looks.

    Example:
        with watch_training(run.path, policy, store):
            trained = train_grpo(start, training, recipe, settings, policy, run.path, store)
    """
    folder = Path(folder)
    handle = display(HTML("<p>The first step is awaited.</p>"), display_id=True)
    ended = threading.Event()

    def follow() -> None:
        seen = 0
        while not ended.wait(every):
            if len(log := read_log(folder / "log.jsonl")) > seen:
                seen = len(log)
                handle.update(framed(training_page(folder, policy, store), HEIGHT))

    # With the cell's context, so that what the thread shows appears below the cell.
    watcher = threading.Thread(target=contextvars.copy_context().run, args=(follow,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        handle.update(framed(training_page(folder, policy, store), HEIGHT))


def training_page(folder: Path, policy: FramePolicy | None = None, store: FrameCache | None = None) -> str:
    """The page of a training as far as it has come; see `watch_training`.

    Raises:
        ValueError: a line of log.jsonl or samples.jsonl that is not JSON.
        VideoError: a clip that cannot be read.
    """
    log = read_log(folder / "log.jsonl")
    samples = spread(read_log(folder / "samples.jsonl"), KEPT) if store else []
    clips = {file: clip_strip(file, sample["kind"], policy, store) for sample in samples for file in sample["clips"]}
    steps = f"{log[-1]['step']} steps" if log else "no step yet"
    data = {"folder": shown(folder), "curves": curves(log), "samples": samples, "clips": clips}
    return render("training.html", title=f"Training: {steps}", data=data)


def curves(log: Sequence[dict]) -> list[dict]:
    """What is drawn of a log: name and points [step, value] of each reward component, then of `CURVES`.

    Example:
        >>> curves([{"step": 1, "loss": 0.5, "rewards/format/mean": 1.0}])
        [{'name': 'format', 'points': [[1, 1.0]]}, {'name': 'loss', 'points': [[1, 0.5]]}]
    """
    components = [name for name in dict.fromkeys(key for line in log for key in line) if _is_component(name)]
    found = []
    for key in (*components, *CURVES):
        points = [[line["step"], line[key]] for line in log if line.get(key) is not None]
        points = [point for point in points if point[1] == point[1]]  # a component may be undefined in a step
        if points:
            name = key.split("/")[1] if _is_component(key) else WORDS.get(key, key)
            found.append({"name": name, "points": points})
    return found


def spread(rows: Sequence[dict], count: int) -> list[dict]:
    """At most so many of the rows, evenly spread, with the first and the last.

    Example:
        >>> spread(list("abcdefg"), 3)
        ['a', 'd', 'g']
    """
    if len(rows) <= count:
        return list(rows)
    return [rows[round(place * (len(rows) - 1) / (count - 1))] for place in range(count)]


def _is_component(key: str) -> bool:
    return key.startswith("rewards/") and key.endswith("/mean")
