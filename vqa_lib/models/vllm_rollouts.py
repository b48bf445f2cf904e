"""The trainer's side of rollouts by vLLM: see `vllm_server`, which runs in another environment."""

import base64
import io
import json
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqa_lib.models import qwen
from vqa_lib.models.dialogue import messages
from vqa_lib.models.families import family
from vqa_lib.models.rollouts import Sampling
from vqa_lib.video import Frames

TIMEOUT = 3600  # seconds; a step's rollouts of a 7B model take minutes


class RolloutError(RuntimeError):
    """The server cannot be reached or failed; the message has its address and its own words."""


def sample(
    server: str,
    adapter: Path,
    step: int,
    processor,
    questions: Sequence[tuple[Sequence[tuple[Frames, str]], str]],
    keys: Sequence[Sequence[tuple[int, ...]]],
    sampling: Sampling,
) -> list[list[int]]:
    """Completions prompt after prompt, as `rollouts.sample` gives them.

    questions: (visuals, text) of each prompt; frames go over as they are, in their order. keys: of each prompt's
    completions; each becomes vLLM's seed of one row.

    Raises:
        RolloutError: the server is not there, answers with an error, or with another number of completions.
    """
    timed = family(processor) is qwen  # InternVL has no positions in time
    prompts = [
        {
            "dialogue": _dialogue(processor, visuals, text),
            "visuals": _visuals(visuals, timed),
            "seeds": [_seed(key) for key in own],
        }
        for (visuals, text), own in zip(questions, keys, strict=True)
    ]
    shape = {
        name: getattr(sampling, name) for name in ("max_tokens", "temperature", "top_p", "top_k", "ends", "banned")
    }
    request = {"adapter": str(adapter.resolve()), "adapter_number": step, "prompts": prompts, "sampling": shape}
    completions = _post(server, request)["completions"]
    wanted = sum(map(len, keys))
    if len(completions) != wanted:
        raise RolloutError(f"{server}: {len(completions)} completions for {wanted} rows")
    return completions


def _dialogue(processor, visuals, text: str) -> str:
    asked = messages([kind for _, kind in visuals], text)
    return processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)


def _visuals(visuals, timed: bool) -> list[dict]:
    sent = []
    for frames, kind in visuals:
        buffer = io.BytesIO()
        np.save(buffer, frames.pixels, allow_pickle=False)
        content = {"kind": kind, "frames": base64.b64encode(buffer.getvalue()).decode()}
        # As transformers counts it; vLLM makes the positions in time from it.
        rate = len(frames.indices) / frames.total * frames.fps
        sent.append(content if kind == "image" or not timed else content | {"fps": rate})
    return sent


def _seed(key: tuple[int, ...]) -> int:
    return zlib.crc32(" ".join(map(str, key)).encode())


def _post(server: str, request: dict) -> dict:
    message = urllib.request.Request(server, json.dumps(request).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(message, timeout=TIMEOUT) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RolloutError(f"{server}: {json.load(error).get('error', error.reason)}") from error
    except OSError as error:
        raise RolloutError(f"{server}: no rollout server answers there ({error})") from error
