"""A language model at an endpoint: a server of ours that answers, refuses, dawdles and talks nonsense."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vqa_lib.chat import ChatError, ChatModel, Shown


class Server(ThreadingHTTPServer):
    """Answers "re: QUESTION", after the replies in `script` (functions of a handler) are used up."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.requests, self.times = [], [], []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((request, self.headers["Authorization"]))
        self.server.times.append(time.monotonic())
        misbehave = self.server.script.pop(0) if self.server.script else None
        if misbehave:
            return misbehave(self)
        return self.reply(completion(f"re: {request['messages'][0]['content']}"))

    def reply(self, body, status=200, kind="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


def completion(text, finish="stop"):
    return {
        "id": "1", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
    }  # fmt: skip


def refusing(status, message="no"):
    return lambda handler: handler.reply({"error": {"message": message}}, status)


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.02)


@pytest.fixture
def chat(server, tmp_path):
    made = []

    def make(**options):
        address = f"http://127.0.0.1:{server.server_port}/v1"
        made.append(ChatModel("m", tmp_path / "replies", base_url=address, key="secret", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_replies_come_in_order_and_each_question_is_asked_once(server, chat):
    judge = chat()
    assert judge.ask(["b", "a", "b"]) == ["re: b", "re: a", "re: b"]
    assert len(server.requests) == 2
    request, authorization = server.requests[0]
    assert request["model"] == "m" and request["temperature"] == 0 and authorization == "Bearer secret"
    assert (judge.use.asked, judge.use.kept, judge.use.prompt_tokens, judge.use.completion_tokens) == (2, 0, 20, 6)
    assert judge.use.cost(1.0, 10.0) == pytest.approx(80e-6)


def test_what_was_asked_before_is_read_from_disk_and_the_key_is_not_written(server, chat, tmp_path):
    chat().ask(["a"])
    again = chat()
    assert again.ask(["a", "c"]) == ["re: a", "re: c"]
    assert len(server.requests) == 2 and again.use.kept == 1
    assert len(list((tmp_path / "replies").iterdir())) == 2
    assert not any("secret" in file.read_text() for file in (tmp_path / "replies").iterdir())
    assert "secret" not in repr(again)


def test_other_settings_are_other_questions(server, chat):
    chat().ask(["a"])
    chat(max_tokens=7).ask(["a"])
    assert [request["max_tokens"] for request, _ in server.requests] == [512, 7]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refusal_for_now_is_asked_again(server, chat, status):
    server.script = [refusing(status)] * 2
    assert chat(at_once=1).ask(["a"]) == ["re: a"]
    assert len(server.requests) == 3


def test_a_line_that_breaks_is_tried_again(server, chat):
    server.script = [lambda handler: handler.connection.close()]
    assert chat(at_once=1).ask(["a"]) == ["re: a"]


def test_a_server_that_dawdles_is_given_up_and_tried_again(server, chat):
    server.script = [lambda handler: time.sleep(1.0)]
    assert chat(at_once=1, timeout=0.2).ask(["a"]) == ["re: a"]


@pytest.mark.parametrize(
    ("misbehaviour", "message"),
    [
        (refusing(401, "bad key"), "refused a question with status 401: .*bad key"),
        (refusing(404, "no such model"), "status 404: .*no such model"),
        (lambda handler: handler.reply("<html>Welcome</html>", kind="text/html"), "without a message|something else"),
        (lambda handler: handler.reply("{]"), "something else than a chat completion"),
        (lambda handler: handler.reply({"choices": []}), "a completion without a message"),
    ],
)  # fmt: skip
def test_what_is_no_reply_is_one_clear_error_and_what_came_before_is_kept(server, chat, misbehaviour, message):
    server.script = [None, misbehaviour]
    judge = chat(at_once=1)
    with pytest.raises(ChatError, match=message):
        judge.ask(["a", "b", "c"])
    before = len(server.requests)
    assert chat(at_once=1).ask(["a", "b"]) == ["re: a", "re: b"]
    assert len(server.requests) == before + 1  # only b


def test_replies_that_are_empty_or_cut_off_are_given_as_they_came(server, chat, tmp_path):
    endings = [completion(None), completion(""), completion("half a", finish="length")]
    server.script = [lambda handler, body=body: handler.reply(body) for body in endings]
    assert chat(at_once=1).ask(["a", "b", "c"]) == ["", "", "half a"]
    assert chat(at_once=1).ask(["a", "b", "c"]) == ["re: a", "re: b", "half a"]  # an empty one is not kept
    assert len(server.requests) == 5


def test_a_question_with_pictures_shows_them_before_its_words(server, chat, tmp_path):
    shown = Shown("Which is it?", (b"one", b"two"))
    chat(at_once=1).ask([shown, Shown("Which is it?", (b"one",))])
    (content, _) = (request["messages"][0]["content"] for request, _ in server.requests)
    addresses = [f"data:image/jpeg;base64,{base64.b64encode(each).decode()}" for each in shown.pictures]
    assert [part["image_url"]["url"] for part in content[:2]] == addresses and content[2]["text"] == "Which is it?"
    assert chat().ask([shown]) and len(server.requests) == 2  # other pictures are another question
    assert all("base64" not in json.loads(file.read_text())["question"] for file in (tmp_path / "replies").iterdir())


def test_a_server_that_never_recovers_is_an_error(server, chat):
    server.script = [refusing(503)] * 6
    with pytest.raises(ChatError, match="status 503"):
        chat(at_once=1).ask(["a"])
    assert len(server.requests) == 6


def test_nobody_there(chat, server, tmp_path):
    judge = ChatModel("m", tmp_path, base_url="http://127.0.0.1:9/v1", key="k")
    with pytest.raises(ChatError, match="cannot be reached after 6 tries"):
        judge.ask(["a"])
    judge.close()


def test_no_faster_than_allowed(server, chat):
    chat(per_minute=600, at_once=4).ask(["a", "b", "c", "d"])
    times = sorted(server.times)
    assert times[-1] - times[0] >= 0.28  # three pauses of a tenth of a second, less the clock's coarseness


def test_the_environment_names_the_model(monkeypatch, tmp_path):
    for name in ("VQA_CHAT_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ChatError, match="VQA_CHAT_MODEL"):
        ChatModel.from_environment(tmp_path)
    monkeypatch.setenv("VQA_CHAT_MODEL", "judge-1")
    with pytest.raises(ChatError, match="OPENAI_API_KEY"):
        ChatModel.from_environment(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    judge = ChatModel.from_environment(tmp_path, per_minute=10)
    assert judge.name == "judge-1" and judge.per_minute == 10
    judge.close()
    with pytest.raises(ValueError, match="per_minute must be above 0"):
        ChatModel.from_environment(tmp_path, per_minute=0)
