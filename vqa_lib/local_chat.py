"""A chat model of transformers in this process: asked like a model at an endpoint, its replies kept on disk too."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from vqa_lib.results import model_digest, write_json


class LocalChatError(ValueError):
    """A model that cannot be asked; the message names it and what was expected."""


class LocalChat:
    """A causal language model with a chat template, from a folder or a hub id; loaded when it is first needed.

    name: the folder or id. cache: folder of the replies kept. max_tokens: of a reply; one that is longer is cut off
    there, and whoever reads it will find out.

    Example:
        writer = LocalChat("Qwen/Qwen2.5-7B-Instruct", "cache/chat", dtype="bfloat16")
        replies = writer.ask(["Is water wet? Answer yes or no."])
    """

    def __init__(
        self, name: str, cache: str | Path, dtype: str = "float32", max_tokens: int = 2048, batch_size: int = 8
    ):
        self.name, self.cache = str(name), Path(cache)
        self.dtype, self.max_tokens, self.batch_size = dtype, max_tokens, batch_size
        self._loaded = None

    def ask(self, questions: Sequence[str], label: str = "asking") -> list[str]:
        """The greedy reply to each question, in their order; what was replied once is read from disk.

        Replies are kept batch by batch: after an interruption the same call goes on where it stopped.

        Raises:
            LocalChatError: the model cannot be loaded, or has no chat template.
        """
        digest = model_digest(self.name)
        files = {question: self._file(digest, question) for question in questions}
        missing = [question for question, file in files.items() if not file.exists()]
        self.cache.mkdir(parents=True, exist_ok=True)
        for start in tqdm(range(0, len(missing), self.batch_size), desc=label, unit="batch", mininterval=5):
            part = missing[start : start + self.batch_size]
            for question, reply in zip(part, self._replies(part), strict=True):
                write_json(files[question], {"model": self.name, "question": question, "reply": reply})
        return [json.loads(files[question].read_text(encoding="utf-8"))["reply"] for question in questions]

    def _file(self, digest: str, question: str) -> Path:
        asked = json.dumps([digest, self.dtype, self.max_tokens, question])
        return self.cache / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"

    def _replies(self, questions: list[str]) -> list[str]:
        import torch

        model, tokenizer = self._load()
        turns = [[{"role": "user", "content": question}] for question in questions]
        inputs = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        ).to(model.device)
        with torch.inference_mode():
            tokens = model.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False)
        return tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def _load(self):
        if self._loaded is None:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            try:
                tokenizer = AutoTokenizer.from_pretrained(self.name, padding_side="left")
                model = AutoModelForCausalLM.from_pretrained(self.name, dtype=getattr(torch, self.dtype))
            except (OSError, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                raise LocalChatError(f"{self.name}: cannot be loaded as a chat model ({reason})") from None
            if not tokenizer.chat_template:
                raise LocalChatError(f"{self.name}: its tokenizer has no chat template; expected an instructed model")
            tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
            # What a model's files say of sampling does not count here, and transformers warns of it beside greedy.
            model.generation_config.update(temperature=None, top_p=None, top_k=None)
            self._loaded = model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer
        return self._loaded
