"""Model folders: `vqa merge`, `vqa add-motion`, `vqa convert-vqathinker`."""

from pathlib import Path
from typing import Annotated

import typer

from vqa_lib.commands.errors import user_errors

app = typer.Typer()

ModelFolder = Annotated[Path, typer.Argument(help="A new or empty folder.")]
InternVL = Annotated[str, typer.Argument(help="OpenGVLab/InternVL3-8B-hf, or a folder of that format.")]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]


@app.command()
@user_errors()
def merge(
    adapter: Annotated[Path, typer.Argument(help="A folder with adapter_config.json, such as a LoRA run's model.")],
    output: ModelFolder,
    dtype: Dtype = "bfloat16",
) -> None:
    """Merge an adapter into its base model: a model folder of its own, that may also be loaded quantised."""
    from vqa_lib.models.loading import merge_adapter

    merge_adapter(adapter, output, dtype)
    typer.echo(f"model: {output}")


@app.command("add-motion")
@user_errors()
def add_motion(
    base: InternVL,
    slowfast: Annotated[Path, typer.Argument(help="pytorchvideo's SLOWFAST_8x8_R50.pyth.")],
    output: ModelFolder,
    slow: Annotated[str, typer.Option(help="The slow pathway's frames: chunks (the paper) or spread (its code).")] = (
        "chunks"
    ),
    pooling: Annotated[str, typer.Option(help="mean or windows: a token a video; chunks: one a chunk.")] = "mean",
    dtype: Dtype = "bfloat16",
) -> None:
    """Give an InternVL VQAThinker's motion branch: what its training starts from."""
    from vqa_lib.models.motion_weights import add_motion_branch

    add_motion_branch(base, slowfast, output, dtype, motion_slow=slow, motion_pooling=pooling)
    typer.echo(f"model: {output}")


@app.command("convert-vqathinker")
@user_errors()
def convert_vqathinker(
    source: Annotated[Path, typer.Argument(help="The folder of the authors' InternVL3-VQAThinker-8B.")],
    base: InternVL,
    output: ModelFolder,
    dtype: Dtype = "bfloat16",
) -> None:
    """Turn VQAThinker's published checkpoint into a model folder that everything here can load."""
    from vqa_lib.models.motion_weights import convert_vqathinker as convert

    convert(source, base, output, dtype)
    typer.echo(f"model: {output}")
