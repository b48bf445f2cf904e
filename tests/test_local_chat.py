"""A chat model of transformers in this process, and the questions that `vqa questions` writes."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM
from typer.testing import CliRunner

from vqa_lib import local_chat
from vqa_lib.cli import app
from vqa_lib.local_chat import LocalChat, LocalChatError
from vqa_lib.written_questions import read_questions

ASKED = ["Is water wet?", "Is the cat on the roof, and is it the same cat in each frame of the video?", "Is it?"]


@pytest.fixture(scope="module")
def chat_folder(tiny_folder, tmp_path_factory):
    """A tiny random Qwen2 with the chat template of the tiny Qwen2.5-VL."""
    folder = tmp_path_factory.mktemp("chat")
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def plain_reply(folder, question):
    """What transformers says to one question alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    turns = [{"role": "user", "content": question}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    return tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_replies_of_a_batch_are_those_of_questions_alone(chat_folder, tmp_path):
    replies = LocalChat(chat_folder, tmp_path, max_tokens=12, batch_size=2).ask([*ASKED, ASKED[0]])
    assert replies == [plain_reply(chat_folder, question) for question in [*ASKED, ASKED[0]]]
    assert len(set(replies)) > 1


def test_what_was_replied_once_is_read_from_disk(chat_folder, tmp_path, monkeypatch):
    kept = LocalChat(chat_folder, tmp_path, max_tokens=12)
    first = kept.ask(ASKED[:2])
    asked = []
    monkeypatch.setattr(LocalChat, "_replies", lambda self, questions: asked.append(questions) or ["new"])
    again = LocalChat(chat_folder, tmp_path, max_tokens=12)
    assert again.ask([ASKED[2], *ASKED[:2]]) == ["new", *first]
    assert asked == [[ASKED[2]]]
    assert LocalChat(chat_folder, tmp_path, max_tokens=13).ask(ASKED[:1]) == ["new"]


def test_an_interruption_loses_nothing_that_was_replied(chat_folder, tmp_path, monkeypatch):
    def break_off(file, content):
        keep(file, content)
        raise KeyboardInterrupt

    keep = local_chat.write_json
    with monkeypatch.context() as patch:
        patch.setattr(local_chat, "write_json", break_off)
        with pytest.raises(KeyboardInterrupt):
            LocalChat(chat_folder, tmp_path, max_tokens=12, batch_size=1).ask(ASKED)
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert len(LocalChat(chat_folder, tmp_path, max_tokens=12).ask(ASKED)) == 3


def test_models_that_cannot_be_asked(chat_folder, tmp_path):
    with pytest.raises(LocalChatError, match="missing: cannot be loaded as a chat model"):
        LocalChat(tmp_path / "missing", tmp_path).ask(["?"])
    bare = tmp_path / "bare"
    AutoModelForCausalLM.from_pretrained(chat_folder).save_pretrained(bare)
    tokenizer = AutoTokenizer.from_pretrained(chat_folder)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(bare)
    with pytest.raises(LocalChatError, match="no chat template"):
        LocalChat(bare, tmp_path).ask(["?"])


def ask_for(*arguments):
    return CliRunner().invoke(app, ["questions", *[str(argument) for argument in arguments]])


def test_the_command_writes_questions_by_grammar(tmp_path):
    prompts, out = tmp_path / "prompts.csv", tmp_path / "questions.jsonl"
    prompts.write_text('id,prompt\n1,"a red circle moves left, over grass"\n2,hello\n3,a cat on a roof\n', "utf-8")
    result = ask_for(prompts, "--out", out)
    assert result.exit_code == 0, result.output
    assert "3 prompts" in result.output and "no question about 'hello'" in result.output
    questions = read_questions(out)
    assert {question.entity for question in questions} == {"circle", "grass", "cat", "roof"}
    assert f"{len(questions)} questions kept" in result.output
    lines = tmp_path / "prompts.txt"
    lines.write_text("a cat on a roof\n\na cat on a roof\n", "utf-8")
    assert ask_for(lines, "--out", tmp_path / "lines.jsonl").exit_code == 0
    assert {question.prompt for question in read_questions(tmp_path / "lines.jsonl")} == {"a cat on a roof"}


def test_the_command_asks_a_chat_model(chat_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("VQA_CACHE", str(tmp_path / "cache" / "frames"))
    prompts, out = tmp_path / "prompts.txt", tmp_path / "questions.jsonl"
    prompts.write_text("a cat on a roof\na dog\n", "utf-8")
    item = {"entity": "cat", "dimension": "temporal", "question": "Is the cat the same?", "polarity": "positive"}
    replies = [json.dumps([item, {"entity": "roof"}]), "I cannot."]
    monkeypatch.setattr(LocalChat, "_replies", lambda self, questions: replies)
    result = ask_for(prompts, "--out", out, "--by", chat_folder)
    assert result.exit_code == 0, result.output
    assert [question.question for question in read_questions(out)] == ["Is the cat the same?"]
    for said in ("2 refused", "1 x no dimension", "holds no JSON list", "no question about 'a dog'"):
        assert said in result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\na cat\n", "expected a column prompt, found ['text']"),
        ("prompt\na cat\n \n", "row 3: prompt is empty"),
        ("prompt\n", "no prompt in it"),
        ("", "expected a column prompt, found nothing"),
        ("prompt\nhello\n", "no question was written"),
    ],
)
def test_the_command_says_what_is_wrong(content, message, tmp_path):
    prompts, out = tmp_path / "prompts.csv", tmp_path / "questions.jsonl"
    prompts.write_text(content, "utf-8")
    out.write_text("mine", "utf-8")
    result = ask_for(prompts, "--out", out)
    assert result.exit_code == 1 and message in result.output
    assert out.read_text("utf-8") == "mine"


def test_the_command_needs_to_know_whom_to_ask(tmp_path, monkeypatch):
    monkeypatch.delenv("VQA_CHAT_MODEL", raising=False)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat\n", "utf-8")
    result = ask_for(prompts, "--out", tmp_path / "out.jsonl", "--by", "chat")
    assert result.exit_code == 1 and "VQA_CHAT_MODEL" in result.output
    assert ask_for(tmp_path / "none.csv", "--out", tmp_path / "out.jsonl").exit_code == 1
