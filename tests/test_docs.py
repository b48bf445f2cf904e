"""The documentation is true: its commands exist and run, its Python runs, the site builds and needs nothing else."""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
import typer
import yaml
from command_pages import commands
from paper_pages import TITLES, documented, given_by, rows
from plain_docstrings import markdown
from typer.testing import CliRunner

from vqa_lib import workflow
from vqa_lib.cli import app
from vqa_lib.datasets import load_clips
from vqa_lib.params import find_notebook, notebook_names, resolve_params
from vqa_lib.paths import PACKAGE
from vqa_lib.recipes import RECIPES
from vqa_lib.rewards import REWARDS

ROOT = PACKAGE.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = {"make", "vqa", "papermill", "uv"}
FOLDERS = ("benchmarks", "docs", "notebooks", "params", "results", "tests", "vqa_lib")
# Commands that end in seconds at tiny size, unless they name data or a model that is not here.
QUICK = {"ask", "check-data", "data", "metrics", "params", "plan", "questions", "score", "trace"}
ABSENT = re.compile(r"data/|Qwen/|my_model|<\w+>")
TO_BE_WRITTEN = {"vqa_lib/rewards/time_words.py"}  # by the reader


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. shows: the block of plain text behind it, "" without one."""

    page: str
    language: str
    text: str
    shows: str = ""


def blocks_of(page: Path) -> list[Block]:
    found = re.finditer(r"^( *)```(\w+)\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL)
    where = page.relative_to(ROOT).as_posix()
    blocks = [Block(where, match[2], textwrap.dedent(match[3])) for match in found]
    followers = [*blocks[1:], Block("", "", "")][: len(blocks)]
    return [
        Block(where, block.language, block.text, behind.text if behind.language == "text" else "")
        for block, behind in zip(blocks, followers, strict=True)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
COMMANDS = [
    (block, shlex.split(line, comments=True))
    for block in BLOCKS
    if block.language == "bash"
    for line in block.text.splitlines()
    if shlex.split(line, comments=True)
]


def named(command: tuple[Block, list[str]]) -> str:
    return f"{command[0].page}: {' '.join(command[1])}"


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_a_command_exists_with_its_options(command):
    words = command[1]
    program = Path(words[0]).name
    assert program in PROGRAMS, f"say in this test how {program!r} is checked"
    if program == "make":
        check_make(words[1:])
    elif program == "vqa":
        check_vqa(words[1:])
    for word in words[1:]:
        check_path(word)


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
    targets = {name for line in re.findall(r"^([\w./ ]+):(?!=)", makefile, re.MULTILINE) for name in line.split()}
    for word in words:
        name, equals, _ = word.partition("=")
        assert (
            re.search(rf"^{name} \?=|\$\({name}\)|\$\(if \$\({name}\)", makefile, re.M) if equals else name in targets
        )


def check_vqa(words: list[str]) -> dict:
    """The values of the command's arguments and options, each checked as far as it can be without running it."""
    command, given = typer.main.get_command(app), words
    while hasattr(command, "commands"):
        command, given = command.commands[given[0]], given[1:]
    with command.make_context(words[0], list(given)) as context:  # an unknown option or a lacking argument is an error
        values = context.params
    if "notebook" in values:
        files = [ROOT / file for file in values["files"]]
        params = resolve_params(values["notebook"], values["profile"], values["overrides"], files)
        assert params.get("method", "vqathinker") in RECIPES
    for paper in values.get("papers") or []:
        assert paper in workflow.papers()
    for only in values.get("only") or []:
        assert any(only in workflow.read_tables_file(paper)["tables"] for paper in workflow.papers())
    if values.get("cluster"):
        assert (ROOT / "params/clusters" / values["cluster"] / "config.yaml").is_file()
    if "table" in values:
        find_notebook(values["table"])
    return values


def check_path(text: str) -> None:
    """A path into the checkout exists, as far as it has no <placeholder>."""
    for path in re.findall(rf"(?:^|=)((?:{'|'.join(FOLDERS)})/[^\s:]*)", text):
        known = path.split("<")[0].split("*")[0]
        whole = known if known == path else known.rpartition("/")[0]
        assert (ROOT / whole).exists() or path in TO_BE_WRITTEN, path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_and_commands_in_the_running_text_exist(page):
    known = {words.split()[1] for words, _ in commands(typer.main.get_command(app))}
    for code in re.findall(r"(?<!`)`([^`\n]+)`", page.read_text()):
        check_path(code)
        if match := re.match(r"(?:\.venv/bin/)?vqa ([a-z][a-z-]*)", code):
            assert match[1] in known, code


def test_links_of_readme_and_contributing_lead_somewhere():
    for page in PAGES[:2]:
        for link in re.findall(r"\]\(([^)\s#]+)", page.read_text()):
            assert link.startswith("http") or (ROOT / link).exists(), link


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, miniature):
    """A folder with the files that the tutorials name: a reader's clips, CSVs and prompts."""
    folder = tmp_path_factory.mktemp("reader")
    for name in FOLDERS:
        (folder / name).symlink_to(ROOT / name)
    clips = load_clips("lsvq", miniature / "lsvq", "train", 12)
    (folder / "my_data").mkdir()
    (folder / "my_videos").mkdir()
    for number, clip in enumerate(clips):
        shutil.copyfile(clip.path, folder / "my_data" / clip.path.name)
        if number < 4:
            shutil.copyfile(clip.path, folder / "my_videos" / clip.path.name)
    shutil.copyfile(clips[0].path, folder / "my_clip.mp4")
    scores = [{"path": clip.path.name, "mos": clip.scores["overall"]} for clip in clips]
    splits = ["train"] * 6 + ["test"] * 6
    pd.DataFrame(scores).assign(split=splits).to_csv(folder / "my_data/clips.csv", index=False)
    pairs = [
        {"a": a["path"], "b": b["path"], "preference": "a" if a["mos"] > b["mos"] else "b"}
        for a, b in zip(scores[::2], scores[1::2], strict=True)
    ]
    prompt = "a black circle moves left over a palace"
    pd.DataFrame(pairs).assign(prompt=prompt).to_csv(folder / "my_data/pairs.csv", index=False)
    page = blocks_of(ROOT / "docs/tutorials/score_videos.md")
    (folder / "mine.csv").write_text(next(block.text for block in page if block.language == "csv"))
    (folder / "my_pairs.csv").write_text("margin,label\n0.8,A\n-0.3,B\n0.05,tie\n0.4,A\n-0.6,A\n")
    (folder / "prompts.csv").write_text("prompt\na dog runs over grass\na red car\n")
    return folder


@pytest.fixture
def in_workplace(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("VQA_CACHE", str(workplace / "cache"))
    return workplace


def is_quick(words: list[str]) -> bool:
    if Path(words[0]).name != "vqa" or ABSENT.search(" ".join(words)):
        return False
    return words[1] in QUICK or (words[1] == "tables" and "--only" in words and "--dry-run" in words)


RUN = {" ".join(words): (block, words) for block, words in COMMANDS if is_quick(words)}  # each once


@pytest.mark.parametrize("text", RUN)
def test_a_quick_command_runs_and_prints_what_the_page_shows(in_workplace, text):
    block, words = RUN[text]
    ran = CliRunner().invoke(app, words[1:])
    assert ran.exit_code == 0, ran.output
    output = " ".join(ran.output.split())
    for line in block.shows.splitlines():
        for part in line.split("..."):
            assert " ".join(part.split()) in output, (line, ran.output)


@pytest.mark.parametrize("page", ["own_data", "own_reward"])
def test_the_python_of_a_tutorial_runs(in_workplace, page, capsys):
    namespace, known = {"__name__": page}, dict(REWARDS)
    try:
        for block in blocks_of(ROOT / f"docs/tutorials/{page}.md"):
            if block.language == "python":
                exec(compile(block.text, f"docs/tutorials/{page}.md", "exec"), namespace)
    finally:
        REWARDS.clear()
        REWARDS.update(known)
    printed = capsys.readouterr().out
    if page == "own_data":
        assert (in_workplace / "my_run/model/trained.json").is_file()
        assert (in_workplace / "my_pairs_run/model/trained.json").is_file()
        assert "csv/test" in printed and "pairs_csv/all" in printed
    else:
        reward = namespace["time_words_reward"]
        examples = doctest.DocTestFinder().find(reward, globs=namespace)
        results = [doctest.DocTestRunner().run(example) for example in examples]
        assert sum(result.attempted for result in results) == 1 and not any(result.failed for result in results)
        last = namespace["read_log"]("my_reward_run/log.jsonl")[-1]
        assert last["step"] == 2 and 0 <= last["rewards/time_words/mean"] <= 0.2


# The site. Built once, strictly: a link of a page that leads nowhere ends the build.


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Links(HTMLParser):
    """The addresses of a page: what a browser loads by itself, what a reader follows, and what can be pointed at."""

    def __init__(self):
        super().__init__()
        self.loaded, self.followed, self.anchors = [], [], set()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors.add(found.get("id"))
        if tag == "a":
            self.followed.append(found.get("href"))
        elif tag == "link":
            self.loaded.append(found.get("href"))
        else:
            self.loaded += [found.get(name) for name in ("src", "srcset", "poster", "data")]


def test_pages_load_nothing_from_elsewhere_and_links_lead_somewhere(site):
    pages = {}
    for page in sorted(site.rglob("*.html")):
        if page.name != "404.html":  # for servers, so its addresses begin at the root
            pages[page] = Links()
            pages[page].feed(page.read_text())
    assert len(pages) > len(notebook_names()) + 20
    for page, links in pages.items():
        for link in filter(None, links.loaded + links.followed):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert parts.scheme == "data" or (link in links.followed and parts.scheme in ("https", "mailto")), link
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.is_file(), (page, link)
            if parts.fragment and target in pages and link in links.followed:
                assert unquote(parts.fragment) in pages[target].anchors, (page, link)
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text()), style


def test_every_notebook_and_command_has_its_place(site):
    gallery = (site / "notebooks/index.html").read_text()
    for name in notebook_names():
        page = (site / f"notebooks/{name}.html").read_text()
        assert f'href="{name}.html"' in gallery
        executed = list((ROOT / "results" / name).glob("tiny-*/executed.ipynb"))
        assert ('class="executed"' in page) == bool(executed) and "data-run" not in page
    described = (site / "commands.html").read_text()
    for words, _ in commands(typer.main.get_command(app)):
        assert f'id="{words.replace(" ", "-")}"' in described


@pytest.mark.parametrize("paper", TITLES)
def test_the_paper_index_has_every_value_of_a_paper_run(site, paper):
    assert documented(paper)
    page = (site / f"papers/{paper}.html").read_text()
    for notebook in documented(paper):
        assert f'id="{notebook.replace("/", "").lower()}"' in page
        found = {row[0].strip("`"): row for row in rows(notebook)}
        values = resolve_params(notebook, "paper")
        assert sorted(found) == sorted(values)
        for name, value in values.items():
            written = yaml.safe_load(found[name][1].strip("`"))
            assert written == value and type(written) is type(value), (notebook, name)
        own = yaml.safe_load((ROOT / f"params/{notebook}.yaml").read_text())
        assert all(found[name][2] == "**ours**" for name in set(found) - set(own) - {"processes"})


def test_who_gives_a_value():
    assert given_by('paper: "with a learning rate of 1 x 10^-6"') == "paper"
    assert given_by("paper, Table 6 (epsilon)") == "paper"
    assert given_by("official: FPS = 2.0") == "official code"
    assert given_by("the official code's parent script; the paper does not say") == "official code"
    assert {given_by(words) for words in ("ours: neither says", "", "T2V-Turbo-MS", "papers")} == {"**ours**"}
    values = {name: (whose, words) for name, _, whose, words, _ in rows("vq_insight/stage1_image")}
    assert values["`beta`"] == ("paper", "see group") and values["`warmup`"][0] == "**ours**"


def test_docstrings_keep_their_columns_examples_and_tags():
    text = "A <tag> and `<code>`.\n\npaper:     r = 1\nofficial:  r = 2\n\nExample:\n    >>> f()\n    <3>\n\nLast <b>."
    made = markdown(text)
    assert "A &lt;tag> and `<code>`." in made and "Last &lt;b>." in made
    assert "```text\npaper:     r = 1\nofficial:  r = 2\n```" in made
    assert "**Example**\n\n```pycon\n>>> f()\n<3>\n```" in made
