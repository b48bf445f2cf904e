"""FingER's questions, answers and reasons: `vqa questions`, `vqa ask`, `vqa reasons`, `vqa add-reasons`."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_lib.commands.errors import user_errors

app = typer.Typer()


@app.command()
@user_errors()
def questions(
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="A CSV with a column prompt, or .txt with lines.")],
    out: Annotated[Path, typer.Option(help="The questions, one JSON object a line; a person may correct them.")],
    by: Annotated[
        str,
        typer.Option(
            help="Who writes: grammar (the embedded one), chat (the endpoint of OPENAI_BASE_URL and VQA_CHAT_MODEL), "
            "or a chat model's folder or hub id."
        ),
    ] = "grammar",
    dtype: Annotated[str, typer.Option(help="Of a chat model in a folder: float32, bfloat16 or float16.")] = "float32",
) -> None:
    """Write FingER's entity-level questions about text-to-video prompts, and say what was refused and why."""
    from vqa_lib.entity_grammar import ask_grammar
    from vqa_lib.paths import cache
    from vqa_lib.score_files import check_output
    from vqa_lib.written_questions import REPLY_TOKENS, ask_for_questions, read_prompts, write_questions

    check_output(out)
    texts = read_prompts(prompts)
    if by == "grammar":
        written, report = ask_grammar(texts)
    else:
        kept = cache().parent / "chat"
        if by == "chat":
            from vqa_lib.chat import ChatModel

            writer = ChatModel.from_environment(kept, max_tokens=REPLY_TOKENS, timeout=300.0)
        else:
            from vqa_lib.local_chat import LocalChat

            writer = LocalChat(by, kept, dtype, REPLY_TOKENS)
        written, report = ask_for_questions(texts, writer.ask)
    typer.echo("\n".join(report.lines()))
    if not written:
        typer.echo(f"error: no question was written; {out} is left as it was", err=True)
        raise typer.Exit(1)
    write_questions(out, written)
    typer.echo(f"questions: {out}")


@app.command()
@user_errors()
def ask(
    video: Annotated[Path, typer.Argument(help="A video that was generated from a text.")],
    prompt: Annotated[str, typer.Option(help="That text.")],
    model: Annotated[str, typer.Option(help="A model folder or a hub id.")],
    questions: Annotated[
        Path | None,
        typer.Option(help="A file of `vqa questions`; those about the prompt are asked. Else: the grammar's."),
    ] = None,
    reasons: Annotated[bool, typer.Option(help="Let the model reason before each answer.")] = True,
    html: Annotated[Path | None, typer.Option(help="Also a page with frames, questions and bars.")] = None,
    fps: Annotated[float, typer.Option(min=0.01, help="Frames a second, 16 frames at most.")] = 2.0,
    max_pixels: Annotated[int, typer.Option(min=1, help="Larger frames are shrunk to so many pixels.")] = 448 * 448,
    max_completion: Annotated[int, typer.Option(min=1, help="Tokens a response may have.")] = 512,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
) -> None:
    """Ask FingER's questions about a video: the tree of answers with probabilities, reasons and scores."""
    from vqa_lib.entity_report import ask_video, html_page, questions_about, tree_lines
    from vqa_lib.score_files import check_output
    from vqa_lib.video import FramePolicy, read_frames

    if html:
        check_output(html, "--html")
    about = questions_about(video, prompt, questions)
    frames = read_frames(video, "video", FramePolicy(count=None, fps=fps, max_pixels=max_pixels))
    from vqa_lib.models.loading import load_model

    table = ask_video(*load_model(model, dtype), frames, about, reasons, max_completion)
    typer.echo("\n".join(tree_lines(table)))
    if html:
        html.write_text(html_page(table, frames.pixels, model), encoding="utf-8")
        typer.echo(f"page: {html}")


Finger = Annotated[Path, typer.Argument(metavar="DATA", help="A folder of FingER's form: see `vqa data`.")]
Split = Annotated[str, typer.Option(help="train or test.")]


@app.command()
@user_errors()
def reasons(
    data: Finger,
    out: Annotated[Path, typer.Option(help="A CSV for a person to look over: `vqa add-reasons` reads it.")],
    split: Split = "train",
    frames: Annotated[int, typer.Option(min=1, help="Frames of a video that the model sees.")] = 8,
    max_pixels: Annotated[int, typer.Option(min=1, help="Larger frames are shrunk to so many pixels.")] = 448 * 448,
) -> None:
    """Let a model that sees the videos and knows the answers write reasons, check them, and list them for review.

    The model is the one at the endpoint of OPENAI_BASE_URL and VQA_CHAT_MODEL.
    """
    from vqa_lib.chat import ChatModel
    from vqa_lib.datasets import load_questions
    from vqa_lib.paths import cache
    from vqa_lib.score_files import check_output
    from vqa_lib.video import FramePolicy
    from vqa_lib.written_reasons import REPLY_TOKENS, report, write_reasons, write_review

    check_output(out)
    asked = load_questions("finger", data, split)
    writer = ChatModel.from_environment(cache().parent / "chat", max_tokens=REPLY_TOKENS, timeout=300.0)
    rows = write_reasons(asked, writer.ask, FramePolicy(count=frames, max_pixels=max_pixels))
    write_review(out, rows)
    used = f"{writer.use.prompt_tokens} tokens read, {writer.use.completion_tokens} written"
    typer.echo("\n".join([*report(rows), used, f"review: {out}"]))


@app.command("add-reasons")
@user_errors()
def add_reasons(
    review: Annotated[Path, typer.Argument(metavar="REVIEW.csv", help="Of `vqa reasons`, looked over.")],
    data: Finger,
    out: Annotated[Path, typer.Option(help="The annotations with the reasons that are kept, in FingER's form.")],
    split: Split = "train",
) -> None:
    """Put reviewed reasons into annotations: what training with reasons reads."""
    from vqa_lib.score_files import check_output
    from vqa_lib.written_reasons import add_reasons as put_in
    from vqa_lib.written_reasons import report

    check_output(out)
    rows = put_in(review, data, split, out)
    typer.echo("\n".join([*report(rows), f"annotations: {out}"]))
