"""A language model behind an OpenAI-compatible endpoint: asked many times, paid for once.

Any server that speaks the chat completions protocol will do, the companies' or one of your own. Where it is stands in
the environment: OPENAI_BASE_URL, OPENAI_API_KEY (for a server of your own any word) and VQA_CHAT_MODEL. Every reply is
kept on disk, so what was asked before is not asked again, however often a run is broken off.
"""

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from vqa_lib.results import write_json

RETRIES = 5  # of the openai client, with growing pauses, after a refusal for now (429), a server's fault, a lost line


class ChatError(Exception):
    """The endpoint cannot be used, or gave no usable reply; the message says which and what to do."""


@dataclass(frozen=True)
class Shown:
    """A question with pictures. pictures: JPEG files, in their order."""

    text: str
    pictures: tuple[bytes, ...]

    def content(self) -> list[dict]:
        """As parts of a message of the chat completions protocol."""
        addresses = [f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" for picture in self.pictures]
        parts = [{"type": "image_url", "image_url": {"url": address}} for address in addresses]
        return [*parts, {"type": "text", "text": self.text}]


@dataclass
class ChatUse:
    """What the questions of this process came to: requests answered by the endpoint, replies found on disk, tokens."""

    asked: int = 0
    kept: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def cost(self, prompt_price: float, completion_price: float) -> float:
        """In the currency of the prices, which are per million tokens; replies found on disk cost nothing.

        Example:
            >>> ChatUse(asked=1, prompt_tokens=2_000_000, completion_tokens=100_000).cost(2.5, 10.0)
            6.0
        """
        return (self.prompt_tokens * prompt_price + self.completion_tokens * completion_price) / 1e6


@dataclass
class ChatModel:
    """One model at one endpoint.

    name: of the model, as the endpoint calls it. cache: folder of the replies kept. base_url, key: None, as the openai
    client takes them from the environment. per_minute: requests at most, None for as many as go. at_once: requests in
    flight. timeout: seconds that one may take. use: counts, see `ChatUse`.

    Example:
        judge = ChatModel.from_environment("cache/judge", per_minute=60)
        replies = judge.ask(["Is water wet? Answer yes or no."])
    """

    name: str
    cache: Path
    base_url: str | None = None
    key: str | None = field(default=None, repr=False)
    per_minute: float | None = None
    at_once: int = 4
    timeout: float = 60.0
    max_tokens: int = 512
    use: ChatUse = field(default_factory=ChatUse)

    def __post_init__(self):
        try:
            from openai import OpenAI, OpenAIError
        except ImportError:
            raise ChatError(
                "a language model is asked through the openai package: pip install 'vqa-lib[chat]'"
            ) from None
        if self.per_minute is not None and not self.per_minute > 0:
            raise ValueError(f"per_minute must be above 0, got {self.per_minute}")
        try:
            self._client = OpenAI(base_url=self.base_url, api_key=self.key, timeout=self.timeout, max_retries=RETRIES)
        except OpenAIError as error:
            raise ChatError(f"no access to a language model: {error}") from None
        self.cache = Path(self.cache)
        self._lock = threading.Lock()
        self._next = 0.0

    def close(self) -> None:
        """Let go of the connections to the endpoint."""
        self._client.close()

    @classmethod
    def from_environment(cls, cache: str | Path, **options) -> "ChatModel":
        """The model that the environment names.

        Raises:
            ChatError: VQA_CHAT_MODEL or the key is not set.
        """
        name = os.environ.get("VQA_CHAT_MODEL")
        if not name:
            raise ChatError("set VQA_CHAT_MODEL to the name of a model, such as gpt-4o (and OPENAI_API_KEY)")
        return cls(name, Path(cache), **options)

    def ask(self, questions: Sequence[str | Shown], label: str = "asking") -> list[str]:
        """The reply to each question, in their order; what the endpoint replied once is read from disk.

        Temperature 0. A reply is kept as soon as it is there: after an error the same call goes on where it stopped.
        A reply that is empty (it is not kept) or cut off at max_tokens is given as it came: whoever reads it counts it.

        Raises:
            ChatError: the endpoint refuses the key or the model, cannot be reached after RETRIES, or sends something
                else than a chat completion. The message says which.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        distinct = list(dict.fromkeys(questions))
        with ThreadPoolExecutor(self.at_once) as pool:
            waiting = {question: pool.submit(self._reply, question) for question in distinct}
            try:
                replies = {
                    question: future.result()
                    for question, future in tqdm(waiting.items(), desc=label, unit="question", mininterval=5)
                }
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [replies[question] for question in questions]

    def _reply(self, question: str | Shown) -> str:
        request = {
            "model": self.name,
            "messages": [{"role": "user", "content": question.content() if isinstance(question, Shown) else question}],
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }
        address = str(self._client.base_url)
        digest = hashlib.sha256(json.dumps([address, request], sort_keys=True).encode()).hexdigest()
        file = self.cache / f"{digest}.json"
        if file.exists():
            with self._lock:
                self.use.kept += 1
            return json.loads(file.read_text(encoding="utf-8"))["reply"]
        reply, usage = self._request(request)
        if reply:
            text = question.text if isinstance(question, Shown) else question
            write_json(file, {"model": self.name, "question": text, "reply": reply})
        with self._lock:
            self.use.asked += 1
            self.use.prompt_tokens += getattr(usage, "prompt_tokens", None) or 0
            self.use.completion_tokens += getattr(usage, "completion_tokens", None) or 0
        return reply

    def _request(self, request: dict):
        """Reply and usage of one request to the endpoint."""
        import openai

        self._wait_for_turn()
        where = f"{self.name} at {self._client.base_url}"
        try:
            completion = self._client.chat.completions.create(**request)
        except openai.APIStatusError as error:
            raise ChatError(f"{where} refused a question with status {error.status_code}: {error.message}") from None
        except openai.APIConnectionError as error:
            raise ChatError(f"{where} cannot be reached after {RETRIES + 1} tries: {error}") from None
        except (openai.OpenAIError, ValueError) as error:  # a page of HTML, say, where JSON was due
            raise ChatError(f"{where} sent something else than a chat completion: {error}") from None
        choices = getattr(completion, "choices", None)
        if not choices or not hasattr(choices[0].message, "content"):
            raise ChatError(f"{where} sent a completion without a message: {str(completion)[:200]}")
        return choices[0].message.content or "", completion.usage

    def _wait_for_turn(self) -> None:
        if self.per_minute is None:
            return
        with self._lock:
            turn = max(time.monotonic(), self._next)
            self._next = turn + 60 / self.per_minute
        time.sleep(max(0.0, turn - time.monotonic()))
