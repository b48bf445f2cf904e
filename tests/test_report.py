"""The report and `vqa trace`: every page, link and picture of a site of made-up runs; a browser where there is one."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from made_up_runs import write_finger_run
from typer.testing import CliRunner

from vqa_lib import figures, tables
from vqa_lib.cli import app
from vqa_lib.code_version import code_files
from vqa_lib.paths import PACKAGE
from vqa_lib.report.folders import reported_runs
from vqa_lib.results import RunError, RunFolder, write_json
from vqa_lib.trace import trace_lines
from vqa_lib.workflow import planned_runs

ROOT = PACKAGE.parent


def write_table_run(planned, reads):
    """A finished run of a table with a table, a figure and an executed notebook, all with hostile letters."""
    import matplotlib.pyplot as plt
    import pandas as pd

    run = RunFolder(planned.path, planned.params)
    table = pd.DataFrame({"method": ["a<b> & c", "ours"], "SRCC": ["0.5", "0.4 [0.3, 0.5], n = 9"]})
    tables.save_table(run, "table", table, "A table with <tags>.")
    figure, axis = plt.subplots()
    axis.plot([0, 1])
    figures.save_figure(run, "figure", figure, table)
    plt.close(figure)
    cells = [nbformat.v4.new_markdown_cell("# A table"), nbformat.v4.new_code_cell("print('<b>')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), run.path / "executed.ipynb")
    row = {"model": "</script>", "dataset": "d", "metric": "srcc", "value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    undefined = row | {"metric": "plcc", "value": float("nan"), "low": float("nan"), "high": float("nan")}
    write_json(run.path / "metrics.json", {"metrics": [row, undefined], "runs": reads})
    finish(run, planned.notebook, "2026-01-02T00:00:00Z")
    return run


def finish(run, notebook, started):
    code = {"version": "1", "commit": "0123456789ab", "dirty": False}
    write_json(run.path / "params.json", run.params)
    record = {"code": code, "device": "cpu", "inputs": {"model": "abc"}, "started": started, "seconds": 2.0}
    write_json(run.path / "provenance.json", record | {"data": {"data/finger_test.jsonl": "ffff"}})
    write_json(run.path / "code.json", code_files(ROOT / "notebooks" / f"{notebook}.ipynb", run.params))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def runs(tmp_path, monkeypatch, data):
    monkeypatch.setenv("VQA_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr("made_up_runs.resolve", lambda path: data / path)
    return write_runs()


def write_runs():
    """Finished answers, a table that shows them; a training that failed."""
    planned = {run.name: run for run in planned_runs("finger", "tiny", [0])[0]}
    answers = write_finger_run("answers_zero_shot", 0)
    finish(answers, "finger/answers", "2026-01-01T00:00:00Z")
    table = write_table_run(planned["table1_granularity"], [answers.path.name])
    failed = RunFolder(planned["grpo_seed0"].path, planned["grpo_seed0"].params)
    failed.path.mkdir(parents=True)
    write_json(failed.path / "params.json", failed.params)
    (failed.path / "FAILED").write_text("finger/grpo: the kernel was killed\n")
    return {"answers": answers, "table": table, "failed": failed}


def states():
    return {run.notebook: (run.status, run.why) for run in reported_runs()}


def test_statuses(runs):
    assert states() == {
        "finger/answers": ("done", ""),
        "finger/grpo": ("failed", "finger/grpo: the kernel was killed"),
        "finger/table1_granularity": ("done", ""),
    }
    code = json.loads((runs["answers"].path / "code.json").read_text())
    write_json(runs["answers"].path / "code.json", code | {"vqa_lib/video.py": "another"})
    assert states()["finger/answers"] == ("stale", "code has changed since: vqa_lib/video.py")
    finish(runs["answers"], "finger/answers", "2026-01-03T00:00:00Z")
    status, why = states()["finger/table1_granularity"]
    assert status == "stale" and why.startswith("1 of the runs that it shows were made anew since")
    (runs["table"].path / "metrics.json").unlink()
    assert states()["finger/table1_granularity"][0] == "unfinished"
    (runs["table"].path / "params.json").write_text("{")
    with pytest.raises(ValueError, match=r"params.json: not readable JSON"):
        reported_runs()


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.images = [], 0

    def handle_starttag(self, tag, attributes):
        self.images += tag == "img"
        self.found += [value for name, value in attributes if name in ("href", "src") and value]


@pytest.fixture(scope="module")
def site_and_runs(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("reported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VQA_RESULTS", str(folder / "results"))
        patch.setattr("made_up_runs.resolve", lambda path: data / path)
        runs = write_runs()
        yield write_site(folder / "site"), runs


@pytest.fixture
def site(site_and_runs):
    return site_and_runs[0]


def write_site(out):
    made = CliRunner().invoke(app, ["report", "--out", str(out)])
    assert made.exit_code == 0, made.output
    assert "2 done, 1 failed, 20 not run" in made.output
    return out


def test_every_link_and_picture_is_there_and_nothing_comes_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 2 + 3 + 1  # index, comparison, three runs, an executed notebook
    images = 0
    for page in pages:
        links = Links()
        links.feed(page.read_text())
        images += links.images
        for link in links.found:
            assert not re.match(r"(https?:)?//", link), (page, link)
            if not link.startswith(("#", "data:")):
                assert (page.parent / link).resolve().is_file(), (page, link)
    assert images == 1


def test_pages_say_what_there_is(site_and_runs):
    site, runs = site_and_runs
    index = (site / "index.html").read_text()
    for text in ("finger/table1_granularity", "finger/table2_protocols", "not run", "failed", "01234567"):
        assert text in index
    page = (site / f"finger-table1_granularity-{runs['table'].path.name}.html").read_text()
    assert "a&lt;b&gt; &amp; c" in page and "A table with &lt;tags&gt;." in page and "<tags>" not in page
    assert f"finger-answers-{runs['answers'].path.name}.html" in page
    compared = (site / "compare.html").read_text()
    assert compared.count("</script>") == 2  # hostile names do not end the data early
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', compared, re.DOTALL)[1])
    assert any(row[3] is None for rows in data["runs"].values() for row in rows)  # undefined, not NaN


def test_an_older_report_is_written_over_and_other_folders_are_not(runs, tmp_path):
    site = write_site(tmp_path / "site")
    (site / "old.html").write_text("")
    run = CliRunner().invoke
    assert run(app, ["report", "--out", str(site)]).exit_code == 0 and not (site / "old.html").exists()
    refused = run(app, ["report", "--out", str(tmp_path)])
    assert refused.exit_code == 1 and "expected a new or empty folder" in refused.output
    assert (tmp_path / "results").is_dir()


def test_no_runs_no_report(tmp_path, monkeypatch):
    monkeypatch.setenv("VQA_RESULTS", str(tmp_path))
    refused = CliRunner().invoke(app, ["report", "--out", str(tmp_path / "site")])
    assert refused.exit_code == 1 and "there are no run folders to report of" in refused.output


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
           "--enable-logging=stderr", "--v=0"]  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no browser here")
def test_in_a_browser_the_comparison_is_filled_and_nothing_is_complained_of(site, tmp_path):
    for page in ("index.html", "compare.html"):
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", f"file://{site / page}"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
        assert "CONSOLE" not in shown.stderr
        assert page != "compare.html" or re.search(r'<tbody id="rows"><tr>', shown.stdout)


def test_a_table_is_traced_to_its_runs_code_and_data(runs):
    lines = trace_lines(runs["table"].path / "tables" / "table.csv")
    assert lines[0] == f"finger/table1_granularity, {runs['table'].path.name}: done"
    assert "  code: 0123456789ab" in lines
    assert f"    finger/answers, {runs['answers'].path.name}: done" in lines
    assert "      input model: abc" in lines and "      data data/finger_test.jsonl: ffff" in lines


def test_what_is_no_part_of_a_run_cannot_be_traced(runs, tmp_path):
    with pytest.raises(RunError, match="no such file or folder"):
        trace_lines(tmp_path / "nothing")
    with pytest.raises(RunError, match="expected a path in a run folder below"):
        trace_lines(Path(tmp_path))
