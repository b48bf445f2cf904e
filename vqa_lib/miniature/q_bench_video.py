"""The miniature of Q-Bench-Video: questions with options about a natural clip, a generated one, or two."""

from pathlib import Path

import numpy as np

from vqa_lib.miniature.files import Draw, DrawGenerated, write_file, write_json
from vqa_lib.miniature.generated_clips import GeneratedClip, draw_pairs
from vqa_lib.miniature.generated_prompts import COLOURS
from vqa_lib.miniature.mixes import WEB_VIDEO, ZERO_TO_HUNDRED
from vqa_lib.miniature.world import DrawnClip, Source

SOURCES = {"q_bench_video": Source(33, "other", "video", ((96, 54),), WEB_VIDEO, ZERO_TO_HUNDRED)}
LEVELS = ("Bad", "Fair", "Good")
LETTERS = "ABCD"


def write_q_bench_video(root: Path, draw: Draw | DrawGenerated, counts: dict[str, int]) -> list[dict]:
    """Q-Bench-Video: `Q_Bench_Video_{dev,test}.json`, clips in `video/`; test has no answers.

    Questions about the whole clip, about something in it, and about a pair take turns; an open-ended one, which readers
    leave out, ends the file.
    """
    total = sum(counts.values())
    natural = iter(draw("q_bench_video", total))
    pairs = iter(draw_pairs(draw, "generated_test", total))
    truth = []
    for split, count in counts.items():
        entries = []
        for number in range(count):
            clip, pair = next(natural), next(pairs)
            make = (_global, _referring, _compare)[number % 3]
            question, options, right, context, concern, members = make(clip, pair)
            files = [f"{split}_{number:03d}_{side}.mp4" for side in "ab"[: len(members)]]
            for file, member in zip(files, members, strict=True):
                write_file(root / "video" / file, member.data)
            name = files[0] if len(files) == 1 else f"{files[0]}_cat_{files[1]}.mp4"
            kind = "yes-or-no" if options == ["Yes", "No"] else "what/how"
            letter = LETTERS[options.index(right)] if split == "dev" else None
            entry = {"video_name": name, "question": question, "answers": options, "question_type": [kind]}
            entry |= {"context": context, "quality_concern": [concern]}
            entries.append(entry | ({"correct_choice": letter} if letter else {}))
            truth.append(
                {
                    "dataset": "q_bench_video",
                    "name": f"{split}/{len(entries)}",
                    "split": split,
                    "path": f"video/{files[0]}",
                    "second": f"video/{files[1]}" if len(files) == 2 else None,
                    "question": question,
                    "options": options,
                    "answer": letter,
                    "category": {_global: "global", _referring: "referring", _compare: "pair"}[make],
                    "dimension": concern,
                    "world": [_facts(member) for member in members],
                }
            )
        open_ended = {"question_type": "open_ended", "context": "Single-Global", "quality_concern": "Technical"}
        entries.append({"video_name": f"{split}_000_a.mp4", "question": "Describe the quality.", **open_ended})
        write_json(root / f"Q_Bench_Video_{split}.json", entries)
    return truth


def _facts(clip: DrawnClip | GeneratedClip) -> dict:
    """What the world knows of a clip, and no published file says."""
    shown = {"shown": clip.shown, "faults": clip.faults} if isinstance(clip, GeneratedClip) else {}
    return {"strengths": clip.strengths, **shown}


def _global(clip: DrawnClip, pair: tuple[GeneratedClip, GeneratedClip]) -> tuple:
    level = LEVELS[min(int(3 * clip.quality), 2)]
    return ("How is the overall quality of this video?", list(LEVELS), level, "Single-Global", "Technical", [clip])


def _referring(clip: DrawnClip, pair: tuple[GeneratedClip, GeneratedClip]) -> tuple:
    first, shape = pair[0], pair[0].shown["shape"]
    if "colour change" in first.faults:
        asked = f"Does the {shape} keep its colour to the end?"
        return (asked, ["Yes", "No"], "No", "Single-Referring", "AIGC", [first])
    right = first.shown["colour"]
    others = [colour for colour in COLOURS if colour != right]
    options = np.random.default_rng(first.key).permutation([right, *others[:3]]).tolist()
    return (f"What colour does the {shape} have?", options, right, "Single-Referring", "AIGC", [first])


def _compare(clip: DrawnClip, pair: tuple[GeneratedClip, GeneratedClip]) -> tuple:
    first, second = (each.qualities["visual quality"] for each in pair)
    options = ["The first video", "The second video", "They are alike"]
    right = options[2 if abs(first - second) < 0.06 else int(second > first)]
    return ("Which video has the better picture?", options, right, "Pair-Compare-Coarse", "Technical", list(pair))
