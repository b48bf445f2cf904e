"""Rollouts by vLLM, in an environment of vLLM's own. Not run so far: no GPU was at hand; its talk with the trainer was.

Run this file with the Python of an environment that has vllm (it imports nothing of this package):

    python vqa_lib/models/vllm_server.py Qwen/Qwen2.5-VL-7B-Instruct --port 8000

and train with `vllm: http://localhost:8000` and `lora_rank` above 0. The trainer sends frames as it sees them, pixel
for pixel and in their (for the contrast group: shuffled) order, and the folder of the adapter that the step starts
from; both processes must see that folder. One POST a step and process, JSON in and out; see `generate`.
"""

import argparse
import base64
import io
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import numpy as np


def frames_of(text: str) -> np.ndarray:
    """uint8 (T, H, W, 3) from base64 of a .npy file."""
    return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)


def vllm_prompt(prompt: dict) -> dict:
    """One prompt in vLLM's form. Frame rates go with the videos, else all frames would share one position in time."""
    shown = [(visual["kind"], frames_of(visual["frames"]), visual.get("fps")) for visual in prompt["visuals"]]
    data: dict = {}
    for kind, frames, _ in shown:
        data.setdefault(kind, []).append(frames[0] if kind == "image" else frames)
    made = {"prompt": prompt["dialogue"], "multi_modal_data": data}
    if rates := [fps for _, _, fps in shown if fps is not None]:
        made["mm_processor_kwargs"] = {"fps": rates, "do_sample_frames": False}
    return made


def generate(model, request: dict) -> dict:
    """Completions for one request.

    request: adapter (folder), adapter_number (rises with each step), prompts (dialogue, visuals: kind, frames, fps;
    seeds: one per wanted completion), sampling (max_tokens, temperature, top_p, top_k, ends, banned).

    Returns:
        {"completions": token ids, prompt after prompt, each up to and including its end token}
    """
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

    number = request["adapter_number"]
    adapter = LoRARequest(f"step-{number}", number + 1, request["adapter"])
    shape, prompts, parameters = request["sampling"], [], []
    for prompt in request["prompts"]:
        for seed in prompt["seeds"]:
            prompts.append(vllm_prompt(prompt))  # vLLM's prefix cache keeps the encoded clip and its keys
            parameters.append(
                SamplingParams(
                    max_tokens=shape["max_tokens"],
                    temperature=shape["temperature"],
                    top_p=shape["top_p"],
                    top_k=shape["top_k"] or -1,
                    seed=seed,
                    stop_token_ids=shape["ends"],
                    ignore_eos=False,
                    logit_bias=dict.fromkeys(shape["banned"], -100.0),
                    detokenize=False,
                )
            )
    outputs = model.generate(prompts, parameters, lora_request=adapter, use_tqdm=False)
    return {"completions": [list(output.outputs[0].token_ids) for output in outputs]}


def serve(model, host: str, port: int) -> ThreadingHTTPServer:
    """A server that answers POST / with `generate`; an error comes back as {"error": ...} with status 500."""
    one_at_a_time = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            try:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with one_at_a_time:
                    status, answer = 200, generate(model, request)
            except Exception as error:  # told to the trainer, which stops with it
                status, answer = 500, {"error": f"{type(error).__name__}: {error}"}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    return ThreadingHTTPServer((host, port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the base model: the same path or hub id that the run trains")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-lora-rank", type=int, default=64)
    parser.add_argument("--max-model-len", type=int, default=16384)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    arguments = parser.parse_args()
    from vllm import LLM

    model = LLM(
        arguments.model,
        enable_lora=True,
        max_lora_rank=arguments.max_lora_rank,
        max_model_len=arguments.max_model_len,
        gpu_memory_utilization=arguments.gpu_memory_utilization,
        limit_mm_per_prompt={"image": 2, "video": 2},
        enable_prefix_caching=True,
    )
    print(f"ready on http://{arguments.host}:{arguments.port}", flush=True)
    serve(model, arguments.host, arguments.port).serve_forever()


if __name__ == "__main__":
    main()
