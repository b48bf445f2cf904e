"""What is measured on: a model with random weights, clips in files, and one training configuration for all sides."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from skimage import data
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from trl import GRPOConfig

from benchmarks.sizes import Sizes
from vqa_lib.frame_cache import FrameCache
from vqa_lib.models.dialogue import EncodedPrompt
from vqa_lib.models.families import encode, vision_token_ids
from vqa_lib.models.loading import DTYPES, lora_config
from vqa_lib.models.starter import tokenizer_texts
from vqa_lib.models.tiny import SPECIAL_TOKENS, build_processor, build_tokenizer
from vqa_lib.prompts import PROMPTS
from vqa_lib.recipes import RECIPES
from vqa_lib.records import Scale, ScoredClip
from vqa_lib.video import Frames

BETA = 0.04  # not 0: the step then has reference log-probabilities
DISTINCT_CLIPS = 8  # the others are copies under another name: files of their own for every cache
RECIPE = RECIPES["vq_insight/natural"]


class Setting:
    """Model and clips under `folder`, each written when first asked for.

    Every side loads its own copy of the model, so that none finds what another has left in it.
    """

    def __init__(self, sizes: Sizes, device: str, folder: str | Path):
        self.sizes, self.device, self.folder = sizes, device, Path(folder)
        self.cache = FrameCache(self.folder / "frames")

    @cached_property
    def model_folder(self) -> Path:
        write_model(self.sizes, self.folder / "model", self.device)
        return self.folder / "model"

    @cached_property
    def processor(self):
        processor = AutoProcessor.from_pretrained(self.model_folder)
        processor.tokenizer.padding_side = "left"
        return processor

    def load_model(self, **options) -> Qwen2_5_VLForConditionalGeneration:
        dtype = DTYPES[self.sizes.dtype]
        model = AutoModelForImageTextToText.from_pretrained(self.model_folder, dtype=dtype, **options)
        return model if options else model.to(self.device)

    def clips(self, count: int) -> list[ScoredClip]:
        """So many clips in files of their own."""
        return [
            ScoredClip(path.stem, path, "video", {"overall": 50.0}, Scale(0, 100), "lsvq", "train")
            for path in (self._clip(number) for number in range(count))
        ]

    def _clip(self, number: int) -> Path:
        path = self.folder / "clips" / f"{number:03d}.mp4"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            if number < DISTINCT_CLIPS:
                write_clip(path, self.sizes, number)
            else:
                shutil.copyfile(self._clip(number % DISTINCT_CLIPS), path)
        return path

    def frames(self, clip: ScoredClip) -> Frames:
        """The frames that the model sees, from the cache after the first time."""
        return self.cache.get(clip.path, clip.kind, self.sizes.policy)

    def prompt(self, clip: ScoredClip, frames: Frames | None = None) -> EncodedPrompt:
        frames = self.frames(clip) if frames is None else frames
        return encode(self.processor, [(frames, clip.kind)], PROMPTS[RECIPE.prompt].text)

    def grpo_config(self, name: str, beta: float = BETA) -> GRPOConfig:
        """One optimiser step of GRPO, the same for every side; responses all of one length."""
        sizes = self.sizes
        step = sizes.group * sizes.queries
        rows = step if name == "ours" else sizes.rows  # ours goes through a step in pieces of its own
        return GRPOConfig(
            output_dir=str(self.folder / name),
            learning_rate=1e-6,
            num_generations=sizes.group,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=step // rows,
            steps_per_generation=step // rows,
            max_steps=1,
            beta=beta,
            loss_type="grpo",
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            max_completion_length=sizes.step_completion,
            generation_kwargs={
                "min_new_tokens": sizes.step_completion,
                "suppress_tokens": vision_token_ids(self.processor.tokenizer),
            },
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=1.0,
            bf16=False,  # weights are in the dtype of the sizes already
            use_cpu=self.device == "cpu",
            activation_checkpointing=sizes.checkpointing,
            dataloader_pin_memory=False,
            log_completions=False,
            log_multimodal=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )

    def adapter(self):
        """The adapters' configuration, or None where all weights are trained."""
        return lora_config(self.sizes.lora_rank) if self.sizes.lora_rank else None

    def step_with(self, trainer) -> Callable[[], None]:
        """A function that makes one optimiser step of a TRL trainer: rows read, sampled, scored, learnt from.

        It calls `train` with one step; what that costs beside the step is the same for every trainer, and small.
        """

        def step() -> None:
            trainer.train()
            # TRL's own record of what it sampled: all sides must have done the same work.
            lengths = [line for line in trainer.state.log_history if "completions/min_length" in line][-1]
            wanted = self.sizes.step_completion
            if not lengths["completions/min_length"] == lengths["completions/max_length"] == wanted:
                raise RuntimeError(f"responses should all have {wanted} tokens: {lengths}")

        return step

    def described(self, **more) -> dict:
        """The sizes as they go into bench.json."""
        return json.loads(json.dumps({**asdict(self.sizes), **more}))


@torch.no_grad()
def write_model(sizes: Sizes, folder: Path, device: str) -> None:
    """A Qwen2.5-VL with random weights and the real processor, as a folder.

    Built without memory first and filled on the device, so that seven billion parameters take seconds; buffers that are
    no part of a checkpoint (rotary frequencies) are made again when the folder is loaded. The head's rows of the end
    token and of ids beyond the tokenizer are zero: greedy answers then never end early and can always be read.
    """
    finger = ["Yes", "No", PROMPTS["finger/answer"].text]  # words that every real tokenizer has
    tokenizer = build_tokenizer([*tokenizer_texts(), *finger * 40])
    if len(tokenizer) > sizes.text["vocab_size"]:
        raise ValueError(f"vocab_size must be at least {len(tokenizer)}, the tokenizer's")
    ids = dict(zip(SPECIAL_TOKENS, tokenizer.convert_tokens_to_ids(SPECIAL_TOKENS), strict=True))
    config = Qwen2_5_VLConfig(
        text_config={
            **sizes.text,
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={**sizes.vision, "tokens_per_second": 2},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.to(DTYPES[sizes.dtype]).to_empty(device=device)
    random = torch.Generator(device).manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            weight.normal_(std=0.02, generator=random)
        else:
            weight.fill_(0.0 if name.endswith("bias") else 1.0)  # biases, and the gains of normalisations
    model.lm_head.weight[[*vision_token_ids(tokenizer), ids["<|im_end|>"]]] = 0
    model.lm_head.weight[len(tokenizer) :] = 0
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.save_pretrained(folder)
    build_processor(tokenizer).save_pretrained(folder)


def write_clip(path: Path, sizes: Sizes, seed: int) -> None:
    """A camera that pans over a photograph with a little noise, as H.264: noise and motion cost a decoder what they do
    in a real clip."""
    width, height = sizes.clip_size
    random = np.random.default_rng(seed)
    photo = Image.fromarray([data.astronaut, data.coffee, data.chelsea, data.rocket][seed % 4]())
    photo = np.asarray(photo.resize((int(1.5 * width), int(1.5 * height))), np.int16)
    noise = random.normal(0, 4, (4, *photo.shape)).astype(np.int16)
    count = round(sizes.clip_seconds * sizes.clip_fps)
    down, right = random.uniform(0.2, 1, 2) * (photo.shape[0] - height, photo.shape[1] - width)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=sizes.clip_fps, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(count):
            y, x = int(down * number / count), int(right * number / count)
            view = (photo + noise[number % len(noise)])[y : y + height, x : x + width].clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")))
        container.mux(stream.encode())
