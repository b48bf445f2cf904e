"""The miniature of FineVD: scores for five kinds of distortion, and questions about them."""

import zlib
from pathlib import Path

import numpy as np

from vqa_lib.miniature.files import Draw, write_csv, write_file, write_json_lines
from vqa_lib.miniature.mixes import WEB_VIDEO, ZERO_TO_HUNDRED
from vqa_lib.miniature.opinions import opinions, true_quality
from vqa_lib.miniature.world import DrawnClip, Source

SOURCES = {
    "finevd_train": Source(31, "train", "video", ((84, 56),), WEB_VIDEO, ZERO_TO_HUNDRED),
    "finevd_test": Source(32, "test", "video", ((84, 56),), WEB_VIDEO, ZERO_TO_HUNDRED),
}
# attribute -> the world's distortions that it is about
ATTRIBUTES = {
    "color": ("exposure", "cast"),
    "noise": ("noise",),
    "artifact": ("compression", "downscaling"),
    "blur": ("blur",),
    "temporal": ("stutter", "dropping", "jitter", "shuffling"),
}
TYPES = {
    "exposure": "wrong exposure",
    "cast": "colour cast",
    "noise": "gaussian noise",
    "compression": "compression artifact",
    "downscaling": "coarse pixels",
    "blur": "gaussian blur",
    "stutter": "lagging",
    "dropping": "missing frames",
    "jitter": "shaking",
    "shuffling": "frames out of order",
}
PHRASES = {"color": "color distortion", "temporal": "temporal distortion"}
GOOD = "Video quality is good"
WHICH_TYPE = "Please select one distortion type from below"
WHICH_HURTS = "Which distortion dimension has the greatest impact on video quality, choose from the following"


def write_finevd(root: Path, draw: Draw, counts: dict[str, int]) -> list[dict]:
    """FineVD: `videos_all/<vid>.mp4`; CAMP-VQA's six tables for the training videos; FineVQ's questions for all."""
    videos, truth = {}, []
    for split in ("train", "test"):
        for number, clip in enumerate(draw(f"finevd_{split}", counts[split])):
            videos[f"0_{number:02d}_{len(split):02d}_{1357553287 + 104729 * number}"] = (split, clip)
    for name, (_, clip) in videos.items():
        write_file(root / "videos_all" / f"{name}.mp4", clip.data)
    truth += _write_scores(root, {name: clip for name, (split, clip) in videos.items() if split == "train"})
    for split in ("train", "test"):
        truth += _write_questions(root, split, {name: clip for name, (of, clip) in videos.items() if of == split})
    return truth


def _strengths(clip: DrawnClip, attribute: str) -> dict[str, float]:
    return {name: level for name, level in clip.strengths.items() if name in ATTRIBUTES[attribute]}


def _chance(clip: DrawnClip) -> np.random.Generator:
    """The raters of the attributes, and the order of options: by the clip alone."""
    return np.random.default_rng(zlib.crc32(clip.data))


def _write_scores(root: Path, clips: dict[str, DrawnClip]) -> list[dict]:
    truth, tables = [], {dimension: [] for dimension in ("overall", *ATTRIBUTES)}
    for name, clip in clips.items():
        random = _chance(clip)
        scores = {"overall": clip.mos} | {
            attribute: opinions(true_quality(_strengths(clip, attribute)), ZERO_TO_HUNDRED, random)[0]
            for attribute in ATTRIBUTES
        }
        for dimension, score in scores.items():
            width, height = clip.size
            tables[dimension].append([name, f"{score:.4f}", width, height, "yuv420p", 7.5, 15, 8, 100000])
        truth.append(
            {
                "dataset": "finevd",
                "name": name,
                "split": "all",
                "path": f"videos_all/{name}.mp4",
                "scores": scores,
                "world": {"strengths": clip.strengths},
            }
        )
    header = ["vid", "mos", "width", "height", "pixfmt", "framerate", "nb_frames", "bitdepth", "bitrate"]
    for dimension, rows in tables.items():
        middle = "" if dimension == "overall" else f"MOS_{dimension}_"
        write_csv(root / f"FINEVD_{middle}metadata.csv", header, rows)
    return truth


def _write_questions(root: Path, split: str, clips: dict[str, DrawnClip]) -> list[dict]:
    """Whether each attribute is there, which type of distortion it is, which attribute hurts most."""
    lists: dict[str, list[dict]] = {"yesno_{}": [], "abcd_{}_en": [], "abcd2_{}": []}
    truth = []

    def add(file: str, name: str, asked: str, answer: str, facts: dict, mark: str = "") -> None:
        turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
        lists[file].append({"video": f"{mark}{name}.mp4", "conversations": turns})
        common = {"dataset": "finevd_questions", "split": split, "path": f"videos_all/{name}.mp4"}
        truth.append({**common, "question": asked, "answer": answer, "options": [], **facts})

    for attribute in ATTRIBUTES:
        thing = PHRASES.get(attribute, attribute)
        asked = f"If there is no {thing} in the video, please answer [No]. "
        asked += f"If there is {thing} in the video, please answer [Yes]."
        for name, clip in clips.items():
            answer = "Yes" if _strengths(clip, attribute) else "No"
            facts = {"category": "distortion present", "dimension": attribute, "polarity": "no"}
            facts |= {"name": f"distortion present/{attribute}/{name}", "answer": answer.lower()}
            add("yesno_{}", name, asked, answer, facts)
    for position, (name, clip) in enumerate(clips.items()):
        random = _chance(clip)
        mark = "" if position else "\ufeff"  # the first name of the published file has a byte-order mark inside it
        for file, category, asked, end, (options, letter) in (
            ("abcd_{}_en", "distortion type", WHICH_TYPE, "Just answer the corresponding letter.", _type(clip, random)),
            (
                "abcd2_{}",
                "greatest impact",
                WHICH_HURTS,
                "(Just answer the corresponding letter)",
                _worst(clip, random),
            ),
        ):
            choice = ", ".join(f"{each}:[{option}]" for each, option in zip("ABCDE", options, strict=False))
            facts = {"name": f"{category}/{name}", "category": category, "question": asked, "options": options}
            add(file, name, f"{asked} options{{{choice}}}{end}", letter, facts, mark)
    for file, rows in lists.items():
        write_json_lines(root / f"{file.format(split)}.jsonl", rows)
    return truth


def _type(clip: DrawnClip, random: np.random.Generator) -> tuple[list[str], str]:
    """The type of the strongest distortion, among types that are not there."""
    strongest = max(clip.strengths, key=clip.strengths.get, default=None)
    absent = [text for kind, text in TYPES.items() if kind not in clip.strengths]
    if strongest is None:
        return _choice("None", absent, 5, random)
    return _choice(TYPES[strongest], ["None", *absent], 5, random)


def _worst(clip: DrawnClip, random: np.random.Generator) -> tuple[list[str], str]:
    """The attribute that costs most quality."""
    quality = {attribute: true_quality(_strengths(clip, attribute)) for attribute in ATTRIBUTES}
    if min(quality.values()) == 1:
        return _choice(GOOD, [name.capitalize() for name in quality], 4, random)
    worst = min(quality, key=quality.get)
    return _choice(worst.capitalize(), [GOOD, *(name.capitalize() for name in quality if name != worst)], 4, random)


def _choice(right: str, wrong: list[str], size: int, random: np.random.Generator) -> tuple[list[str], str]:
    """Options in a random order, and the letter of the right one."""
    options = [right, *random.choice(wrong, size - 1, replace=False).tolist()]
    options = [options[place] for place in random.permutation(size)]
    return options, "ABCDE"[options.index(right)]
