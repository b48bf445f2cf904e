"""Run folders that nobody ran: what the stages of VQ-Insight leave behind, made up from random numbers in seconds."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from vqa_lib import tables
from vqa_lib.datasets import load_clips, load_pairs, load_questions
from vqa_lib.entity_benchmarks import measure_differences
from vqa_lib.entity_scores import measure_entities, rated_clips
from vqa_lib.miniature import write_miniature
from vqa_lib.miniature.distortions import encode_video
from vqa_lib.paths import resolve
from vqa_lib.predictions import answer_row, clip_of
from vqa_lib.results import RunFolder, write_json
from vqa_lib.several_answers import gains_over_one, scaling
from vqa_lib.ten_benchmarks import IN_DOMAIN, OUT_OF_DOMAIN, OVERALL
from vqa_lib.workflow import planned_run

DIMENSIONS = ("spatial", "temporal", "consistency")
# By how far a made-up judge misses: the whole method least of all.
NOISE = {"multi_dim": 10, "natural": 10, "preference": 0.5, "united": 0.3}
RESAMPLES = 10  # of each interval: nothing is read off its width
MEASURES = ("overall", "visual quality", "temporal consistency", "alignment")


def write_rows(run, name, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    run.file("predictions", f"{name}.jsonl").write_text(text)


def dimension_rows(noise, seed, number=40):
    truth, random = np.random.default_rng(0), np.random.default_rng([seed, 1])
    for index in range(number):
        row = {"dataset": "lgvq", "split": "test", "name": f"c{index}", "response": "<think>x</think>"}
        for name in DIMENSIONS:
            row[f"target_{name}"] = truth.uniform(0, 100)
            row[f"prediction_{name}"] = row[f"target_{name}"] + random.normal(0, noise)
        yield row


def natural_rows(noise, seed, number=40):
    truth, random = np.random.default_rng(0), np.random.default_rng([seed, 1])
    for index in range(number):
        target = truth.uniform(0, 100)
        row = {"dataset": "lsvq", "split": "test", "name": f"c{index}", "response": "<think>x</think>"}
        yield row | {"mos": target, "target": target, "prediction": target + random.normal(0, noise)}


def pair_rows(noise, seed, pairs):
    random = np.random.default_rng([seed, 1])
    for pair in pairs:
        lean = {"first": 1, "second": -1}.get(pair.preference, 0)
        answers = ["first" if lean + random.normal(0, 2 * noise) > 0 else "second" for _ in range(2)]
        row = {"dataset": pair.dataset, "split": pair.split, "name": pair.name, "preference": pair.preference}
        row |= {"answer": answers[0], "swapped_answer": answers[1]}
        row["difference"] = sum(1 if answer == "first" else -1 for answer in answers) / 2
        response = "<think>blur, $flicker$ </think> <answer>Video A</answer>"
        yield row | {"response": response, "swapped_response": response}


def write_run(name, seed, profile="tiny"):
    """A finished run of that name in params/tables/vq_insight.yaml."""
    planned = planned_run("vq_insight", name, profile, seed)
    run = RunFolder(planned.path, planned.params)
    run.path.mkdir(parents=True, exist_ok=True)
    measured = []
    for model, factor in (("before", 4), ("after", 1)):
        noise = factor * NOISE.get(name, 1.5 * NOISE.get(name.split("_sft")[0], 0.8 if "preference" in name else 20))
        if name.startswith("multi_dim"):
            rows, measure = list(dimension_rows(noise, seed)), tables.measure
        elif name.startswith("natural"):
            rows, measure = list(natural_rows(noise, seed)), tables.measure
        else:
            rows, measure = list(pair_rows(noise, seed, made_up_pairs())), tables.measure_pairs
        write_rows(run, model, rows)
        measured += measure(pd.DataFrame(rows), model, resamples=RESAMPLES)
    if planned.notebook == "vq_insight/stage2_natural":
        awareness = {"model": "after", "share above its shuffled copy": "0.500 [0.400, 0.600]", "n": 40, "ties": 0}
        pd.DataFrame([awareness]).to_csv(run.file("tables", "order_awareness.csv"), index=False)
    metrics = {"metrics": measured}
    if name == "united":
        metrics["generator"] = generator_rows(run, seed)
        metrics["gains"] = [row for row in metrics["generator"] if row["model"] != "base"]
    write_json(run.path / "params.json", planned.params)
    write_json(run.path / "metrics.json", metrics)
    write_json(run.path / "DONE", {})
    return run


def made_up_pairs():
    """Pairs of the miniature that stage 2 would have been tested on, and as many of GenAI-Bench by name only."""
    folder = resolve("data/generated")
    write_miniature(folder, scale=2, seed=0, names=["visionreward"])
    pairs = load_pairs("visionreward_pairs", folder / "visionreward", "test")
    return pairs + [replace(pair, dataset="genai_bench") for pair in pairs]


def generator_rows(run, seed):
    random = np.random.default_rng(seed)
    clips = [f"clip_{number}.mp4" for number in range(4)]
    prompts = pd.DataFrame({"file": clips, "prompt": [f"a red ball, number {number}" for number in range(4)]})
    prompts.to_csv(run.file("clips", "prompts.csv"), index=False)
    rows = []
    for model in ("base", "dpo", "united"):
        for clip in clips:
            pixels = random.integers(0, 256, (8, 32, 48, 3), dtype=np.uint8)
            run.file("clips", model, clip).write_bytes(encode_video(pixels, {}))
        for measure in MEASURES:
            value = random.uniform(0.3, 0.8)
            rows.append(
                {"model": model, "measure": measure, "value": value, "low": value - 0.1, "high": value + 0.1, "n": 20}
            )
    return rows


ASKED = {
    "finevd_questions/test": ("dimension", ("color", "noise", "artifact", "blur", "temporal")),
    "q_bench_video/dev": ("category", ("global", "referring")),
}

KINDS = {"finevd_questions/test": "mentions", "q_bench_video/dev": "choices"}


def score_rows(places, noise, seed, number=12):
    truth, random = np.random.default_rng(0), np.random.default_rng([seed, 1])
    for place in places:
        dataset, split = place.split("/")
        for index in range(number):
            target = truth.uniform(1, 5)
            row = {"dataset": dataset, "split": split, "name": f"c{index}", "response": "<think>x</think>"}
            yield row | {"mos": target, "target": target, "prediction": target + random.normal(0, noise)}


def answer_rows(right, seed, number=10):
    random = np.random.default_rng([seed, 2])
    for place, (column, values) in ASKED.items():
        dataset, split = place.split("/")
        for value in values:
            for index in range(number):
                answer = "yes" if random.random() < right else "no"
                row = {"dataset": dataset, "split": split, "name": f"{value}{index}", column: value, "clip": index}
                yield row | {"true_answer": "yes", "answer": answer, "response": "x"}


def scaling_metrics(seed):
    """The metrics and the gains that the notebook scaling leaves: the more answers, the better."""
    random = np.random.default_rng(seed)
    targets = random.uniform(1, 5, 40)
    samples = [[float(target + noise) for noise in random.normal(0, 1, 8)] for target in targets]
    single = [float(target + noise) for target, noise in zip(targets, random.normal(0, 1, 40), strict=True)]
    greedy = pd.DataFrame({"target": targets, "mos": targets, "prediction": single, "dataset": "lsvq", "split": "test"})
    measured = [
        row for name in ("greedy answer", "expected from its digits") for row in tables.measure(greedy, name, RESAMPLES)
    ]
    place = {"dataset": "lsvq/test", "metric": "srcc"}
    curve = scaling(samples, targets, (1, 8)).assign(**place)
    gains = gains_over_one(samples, single, targets, (1, 8)).assign(**place)
    for table in (curve, gains):
        table["model"] = table["combined"] + " of " + table["samples"].astype(str)
    measured += curve.to_dict("records")
    return measured, gains.to_dict("records")


@cache
def ten_sets(state, noise, seed):
    """Rows of the ten benchmarks and what is measured of them; most runs miss by the same noise, and fits are slow."""
    rows = list(score_rows(IN_DOMAIN + OUT_OF_DOMAIN, noise, seed))
    table = pd.DataFrame(rows)
    measured = tables.measure(table, state, RESAMPLES)
    return rows, measured + tables.measure_overall(table, state, OVERALL, RESAMPLES)


def write_vqathinker_run(name, seed, profile="tiny"):
    """A finished run of that name in params/tables/vqathinker.yaml; the whole method misses least."""
    planned = planned_run("vqathinker", name, profile, seed)
    run = RunFolder(planned.path, planned.params)
    run.path.mkdir(parents=True, exist_ok=True)
    state = "before" if planned.params.get("zero_shot") else "after"
    noise = 0.3 if name in ("train", "vqathinker", "understanding") else 2.0 if state == "before" else 1.0
    if planned.notebook.endswith("unsupervised"):
        state = "unsupervised"
    others = {}  # what metrics.json holds beside the metrics
    if planned.notebook.endswith("scaling"):
        measured, others["gains"] = scaling_metrics(seed)
    elif planned.notebook.endswith("understanding"):
        table, measured = pd.DataFrame(answer_rows(1 - noise / 4, seed)), []
        for place, (column, _) in ASKED.items():
            part = table[(table["dataset"] + "/" + table["split"]) == place]
            write_rows(run, f"{state}_{KINDS[place]}", part.to_dict("records"))
            measured += tables.measure_answers(part, state, by=column, resamples=RESAMPLES)
    elif planned.notebook.endswith(("benchmarks", "unsupervised")):
        rows, measured = ten_sets(state, noise, seed)
        write_rows(run, state, rows)
    else:
        folder = resolve(planned.params["data"])
        write_miniature(folder, scale=0.03, seed=0, names=["lsvq"])
        clips = load_clips("lsvq", folder / "lsvq", "test")
        rows = list(score_rows(["lsvq/test"], noise, seed, len(clips)))
        rows = [row | {"name": clip.name} for row, clip in zip(rows, clips, strict=True)]
        write_rows(run, state, rows)
        measured = tables.measure(pd.DataFrame(rows), state, resamples=RESAMPLES)
        if planned.notebook.endswith("pseudo_ranks"):
            before = [row | {"prediction": row["prediction"] + 3 * (-1) ** number} for number, row in enumerate(rows)]
            write_rows(run, "before", before)
            measured += tables.measure(pd.DataFrame(before), "before", resamples=RESAMPLES)
    write_json(run.path / "params.json", planned.params)
    write_json(run.path / "metrics.json", {"metrics": measured, **others})
    write_json(run.path / "DONE", {})
    return run


def entity_rows(questions, right, seed):
    random = np.random.default_rng([seed, 3])
    for question in questions:
        said = question.answer if random.random() < right else {"yes": "no", "no": "yes"}[question.answer]
        response = f"<reason> It is $red$. </reason> <answer> {said.capitalize()} </answer>"
        row = answer_row(question, said, response) | {"clip": clip_of(question), "prompt": question.prompt}
        row |= {"entity": question.entity, "polarity": question.polarity}
        yield row | {"probability": random.uniform(0.5, 1) if said == "yes" else random.uniform(0, 0.5)}


def margin_rows(noise, seed, number=18):
    random = np.random.default_rng([seed, 5])
    for index in range(number):
        preference, lean = (("first", 1), ("second", -1))[index % 2]
        row = {"dataset": "visionreward_pairs", "split": "test", "name": f"p{index}", "preference": preference}
        yield row | {"difference": lean + random.normal(0, noise)}


def rating_rows(questions, overall, seed):
    random = np.random.default_rng([seed, 4])
    for clip in rated_clips(questions, overall):
        names = [""] if overall else [f"_{name}" for name in clip.scores]
        row = {"dataset": clip.dataset, "split": clip.split, "name": clip.name}
        row |= {f"target{name}": score for name, score in zip(names, clip.scores.values(), strict=True)}
        yield row | {f"prediction{name}": float(random.integers(1, 5)) for name in names}


def write_finger_run(name, seed, profile="tiny"):
    """A finished run of that name in params/tables/finger.yaml; GRPO with cold start is right most often."""
    planned = planned_run("finger", name, profile, seed)
    run = RunFolder(planned.path, planned.params)
    run.path.mkdir(parents=True, exist_ok=True)
    state = "before" if planned.params.get("zero_shot") else "after"
    folder = resolve(planned.params["data"])
    write_miniature(folder, scale=0.5, seed=0, names=["finger"])
    questions = load_questions("finger", folder / "finger", "test")
    rows = list(entity_rows(questions, {"answers_grpo": 0.95}.get(name, 0.6), seed))
    answered, measured = pd.DataFrame(rows), []
    if planned.notebook.endswith("benchmarks"):
        noise = {"benchmarks_grpo": 0.1}.get(name, 2.0)
        rated = pd.DataFrame(score_rows(["genai_bench_800/all"], noise, seed))
        pairs = pd.DataFrame(margin_rows(noise, seed))
        write_rows(run, f"{state}_clips", rated.to_dict("records"))
        write_rows(run, f"{state}_pairs", pairs.to_dict("records"))
        measured = tables.measure(rated, state, resamples=RESAMPLES)
        measured += measure_differences(pairs, state, resamples=RESAMPLES)
    elif planned.notebook.endswith("resolution"):
        for varied, values in {"pixels": planned.params["pixels"], "rate": planned.params["rates"]}.items():
            for value in values:
                found = measure_entities(answered, f"{varied} {value:g}", resamples=RESAMPLES)
                measured += [row | {"varied": varied, "at": value} for row in found]
    else:
        for words, probability in {"w/ prob": True, "w/o prob": False}.items():
            measured += measure_entities(answered, f"{state}, {words}", probability, resamples=RESAMPLES)
        if name == "answers_zero_shot":
            levels = measure_entities(answered, "", resamples=RESAMPLES)
            for level, prompt in {"overall level": "overall", "dimension level": "dimension"}.items():
                write_rows(run, f"{state} {level}", list(rating_rows(questions, prompt == "overall", seed)))
                measured += [row | {"model": f"{state}, {level}"} for row in levels if row["metric"] != "accuracy"]
    write_rows(run, state, rows)
    write_json(run.path / "params.json", planned.params)
    write_json(run.path / "metrics.json", {"metrics": measured})
    write_json(run.path / "DONE", {})
    return run
