"""What `vqa ask` shows of one video: the tree of questions with probabilities, reasons and scores, and an HTML page."""

import base64
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from vqa_lib.entity_answers import ask_videos
from vqa_lib.entity_defects import costs, defects
from vqa_lib.entity_grammar import grammar_questions
from vqa_lib.entity_scores import SHORT, score_clips_by_entities, with_words
from vqa_lib.records import Question
from vqa_lib.video import Frames, jpeg
from vqa_lib.written_questions import by_prompt, read_questions

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; line-height: 1.4 }}
.frames img {{ height: 9em; margin: 0 .2em .2em 0 }}
.bar {{ display: inline-block; width: 8em; height: .8em; background: #ddd; margin-right: .5em }}
.bar span {{ display: block; height: 100%; background: #4878a8 }}
td {{ padding: .15em .6em .15em 0; vertical-align: top }}
.reason {{ color: #555 }}
</style></head><body>
<h1>{title}</h1>
<p>Prompt: <q>{prompt}</q></p>
<p class="frames">{frames}</p>
<p>Overall: <b>{overall}</b>, the mean of {count} dimensions, each the mean of its questions, from 0 to 1.
Answered by {model}; {unparsed} of {asked} answers unreadable.</p>
{costly}
{body}
</body></html>
"""


class AskError(ValueError):
    """A video that nothing can be asked about; the message says why."""


def questions_about(video: Path, prompt: str, file: Path | None = None) -> list[Question]:
    """Questions about one video: those that a file of `vqa questions` has for its prompt, or the embedded grammar's.

    Raises:
        AskError: there are none.
        WrittenQuestionsError: a line of the file that is no question.
    """
    written = grammar_questions(prompt) if file is None else by_prompt(read_questions(file)).get(prompt, [])
    if not written:
        raise AskError(
            f"the grammar finds nothing to ask about in {prompt!r}; have questions written by a model: vqa questions"
            if file is None
            else f"{file}: no question about the prompt {prompt!r}"
        )
    return [each.about(video, video.name, "asked", "all") for each in written]


def ask_video(
    model, processor, frames: Frames, questions: list[Question], reasons: bool = True, max_completion: int = 512
) -> pd.DataFrame:
    """The answers to questions about one video, as `entity_answers.answer_entities` has them, and four columns more.

    question; reason ("" without one); score (in [0, 1], higher is better) and cost, of `entity_defects.costs`.
    """
    prompt = "finger" if reasons else "finger/answer"
    rows = ask_videos(model.eval(), processor, [(frames, questions)], prompt, max_completion)
    table = pd.DataFrame(rows).astype({"probability": float})
    return with_words(costs(table), questions)


def summary(answered: pd.DataFrame) -> dict[str, float]:
    """Scores of one video in [0, 1]: of each dimension that was asked about, and "overall"; NaN where undefined."""
    (row,) = score_clips_by_entities(answered, mean=True).to_dict("records")
    asked = set(answered["dimension"])
    return {name: row[f"prediction_{short}"] for name, short in SHORT.items() if name in asked} | {
        "overall": row["prediction_overall"]
    }


def tree_lines(table: pd.DataFrame) -> list[str]:
    """Dimensions, below them entities, below them questions with answer, P(Yes), score and reason; to be read.

    Example:
        visual quality: 0.81
          circle
            0.93  Is the circle sharp and clear? yes, P(Yes) 0.93
                  No blur and no coarse pixels are seen.

    At the end stand the answers that cost the overall score most, see `entity_defects.defects`.
    """
    scores, lines = summary(table), []
    for dimension in (name for name in scores if name != "overall"):
        lines.append(f"{dimension}: {_number(scores[dimension])}")
        for entity, part in table[table["dimension"] == dimension].groupby("entity", sort=False):
            lines.append(f"  {entity}")
            for row in part.itertuples():
                lines.append(f"    {_number(row.score)}  {row.question} {_answer(row)}")
                lines += [f"          {row.reason}"] if row.reason else []
    lines.append(f"overall: {_number(scores['overall'])}")
    found = defects(table)
    lines += ["costs most:"] if len(found) else []
    return lines + [f"  {row.cost:.2f}  {row.words}" for row in found.itertuples()]


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.2f}"


def _answer(row) -> str:
    said = "unreadable" if pd.isna(row.answer) else row.answer
    return said if np.isnan(row.probability) else f"{said}, P(Yes) {row.probability:.2f}"


def html_page(table: pd.DataFrame, frames: np.ndarray, model: str) -> str:
    """One page, with everything in it, that shows frames, questions, probabilities as bars, and reasons.

    table: of `ask_video`. frames: (count, height, width, 3) in RGB. model: its name, as it is to be shown.
    """
    scores = summary(table)
    video, prompt = str(table["clip"].iloc[0]), str(table["prompt"].iloc[0])
    parts = []
    for dimension in (name for name in scores if name != "overall"):
        rows = [
            f"<tr><td>{escape(row.entity)}</td><td>{escape(row.question)}</td><td>{_bar(row.score)}</td>"
            f'<td>{escape(_answer(row))}<br><span class="reason">{escape(row.reason)}</span></td></tr>'
            for row in table[table["dimension"] == dimension].itertuples()
        ]
        parts.append(f"<h2>{escape(dimension)} {_bar(scores[dimension])}</h2>\n<table>{''.join(rows)}</table>")
    found = "".join(f"<li>{row.cost:.2f} {escape(row.words)}</li>" for row in defects(table).itertuples())
    return PAGE.format(
        costly=f"<p>These answers cost most of it:</p>\n<ul>{found}</ul>" if found else "",
        title=escape(video),
        prompt=escape(prompt),
        frames="".join(
            f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg(frame)).decode()}">' for frame in frames
        ),
        overall=_number(scores["overall"]),
        count=len(scores) - 1,
        model=escape(model),
        unparsed=int(table["score"].isna().sum()),
        asked=len(table),
        body="\n".join(parts),
    )


def _bar(score: float) -> str:
    width = 0 if np.isnan(score) else round(100 * score)
    return f'<span class="bar"><span style="width: {width}%"></span></span>{_number(score)}'


def _as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()
