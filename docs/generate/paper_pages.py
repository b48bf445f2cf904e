"""The paper index: every hyper-parameter of the profile `paper`, and the words that it comes from.

Nothing is copied: values are resolved as a run resolves them, and the words are the comments in params/.
"""

import re

import yaml

from vqa_lib.params import find_notebook, notebook_names, notebook_params, resolve_params
from vqa_lib.paths import PACKAGE
from vqa_lib.recipes import RECIPES
from vqa_lib.rewards import REWARDS

ROOT = PACKAGE.parent
TITLES = {
    "vq_insight": ("VQ-Insight", "2506.18564", "Teaching VLMs for AI-Generated Video Quality Understanding via "
                   "Progressive Visual Reinforcement Learning"),
    "vqathinker": ("VQAThinker", "2508.06051", "Exploring Generalizable and Explainable Video Quality Assessment via "
                   "Reinforcement Learning"),
    "finger": ("FingER", "2504.10358", "Content Aware Fine-grained Evaluation with Reasoning for AI-Generated Videos"),
}  # fmt: skip
# Methods of no paper of the three, which VQAThinker trains beside its own.
BASELINES = ("q_insight", "visualquality_r1")
OURS = "**ours**"
GIVEN = ("paper", "official code", OURS)
LEGEND = """
**Given by** says who gives a value: *paper* is the paper itself, by the sentence, table or equation beside it;
*official code* is the authors' code, where the paper is silent; **ours** is everything else: neither gives the value,
or it is a switch of this package. The words are those of the params file, which `vqa run NOTEBOOK --profile paper`
reads: change a value there, and this page changes with it.

No run with these values was ever made here: they need several GPUs of 80 GB.
"""


def navigation() -> dict:
    """The section of the site."""
    papers = [{TITLES[paper][0]: f"papers/{paper}.md"} for paper in TITLES]
    return {"Papers": ["papers/index.md", *papers]}


def pages() -> dict[str, str]:
    """An index and a page a paper."""
    made = {f"papers/{paper}.md": paper_page(paper) for paper in TITLES}
    return {"papers/index.md": index_page(), **made}


def index_page() -> str:
    """How many values each paper gives, and where to look them up."""
    lines = [
        "# Paper index",
        "",
        "Each hyper-parameter that a run of a paper's size uses, with the sentence that it comes from.",
        "",
        "| paper | notebooks | values | the paper's | official code's | ours |",
        "|---|---|---|---|---|---|",
    ]
    for paper, (title, _, _) in TITLES.items():
        given = [row[2] for notebook in documented(paper) for row in rows(notebook)]
        counts = [given.count(whose) for whose in GIVEN]
        cells = [f"[{title}]({paper}.md)", len(documented(paper)), len(given), *counts]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n" + LEGEND


def paper_page(paper: str) -> str:
    """The methods of a paper, then a table of values for each of its notebooks that have a params file."""
    title, number, full = TITLES[paper]
    lines = [f"# {title}", "", f"*{full}*, [arXiv {number}](https://arxiv.org/abs/{number}).", LEGEND]
    lines += ["", "## Methods", "", *recipe_table(paper)]
    for notebook in documented(paper):
        lines += ["", f"## {notebook}", "", f"[The notebook](../notebooks/{notebook}.md) and its values in "
                  f"`params/{notebook}.yaml`.", "", "| parameter | value | given by | in which words | meaning |",
                  "|---|---|---|---|---|"]  # fmt: skip
        lines += ["| " + " | ".join(row) + " |" for row in rows(notebook)]
    return "\n".join(lines) + "\n"


def documented(paper: str) -> list[str]:
    """The notebooks of a paper that have a params file."""
    return [name for name in notebook_names() if (ROOT / f"params/{name}.yaml").exists() and name.startswith(paper)]


def recipe_table(paper: str) -> list[str]:
    """The paper's recipes as `vqa_lib/recipes.py` has them."""
    names = [name for name in RECIPES if name.split("/")[0] == paper]
    names += BASELINES if paper == "vqathinker" else ()
    lines = [
        "Of [`RECIPES`](../reference/training_data.md#vqa_lib.recipes), rewards summed, each linked to its equation.",
        "",
        "| recipe | rewards | contrast group | starts from |",
        "|---|---|---|---|",
    ]
    for name in names:
        recipe = RECIPES[name]
        rewards = ", ".join(f"[{reward}]({reward_link(reward)})" for reward in recipe.rewards) or "none: supervised"
        start = cell(recipe.start) if recipe.start else "a pretrained model"
        lines.append(f"| `{name}` | {rewards} | {recipe.contrast or ''} | {start} |")
    return lines


def reward_link(reward: str) -> str:
    """The place of a reward in the reference."""
    function = REWARDS[reward]
    return f"../reference/rewards.md#{function.__module__}.{function.__name__}"


def rows(notebook: str) -> list[tuple[str, str, str, str, str]]:
    """Name, value, who gives it, in which words, and meaning of every parameter of a notebook at profile paper.

    What the paper gives comes first, then what its code does, then ours.
    """
    declared = notebook_params(find_notebook(notebook))
    own, profile = comments(f"params/{notebook}.yaml"), comments("params/profiles/paper.yaml")
    found = []
    for name, value in resolve_params(notebook, "paper").items():
        words = profile.get(name, own.get(name))
        whose = given_by(words or "")
        words = "the notebook's own default" if words is None else re.sub(r"^(paper|official|ours)\b[:,]? ?", "", words)
        found.append((f"`{name}`", cell(shown(value)), whose, escaped(words), escaped(declared[name].help)))
    return sorted(found, key=lambda row: GIVEN.index(row[2]))


def comments(file: str) -> dict[str, str]:
    """The comment behind each value of a params file, "" where there is none.

    Example:
        comments("params/vq_insight/stage1_image.yaml")["beta"]  # "paper: see group"
    """
    text = (ROOT / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    found = {}
    for key, value in yaml.compose(text, yaml.SafeLoader).value:
        behind = lines[value.end_mark.line][value.end_mark.column :]
        found[key.value] = behind.partition("#")[2].strip()
    return found


def given_by(comment: str) -> str:
    """Whose value it is, by the first words of its comment; what does not say so is ours.

    Example:
        given_by("paper: eq. 4")  # "paper"
    """
    if re.match(r"paper\b", comment):
        return "paper"
    return "official code" if re.match(r"(the )?official\b", comment) else OURS


def shown(value: object) -> str:
    """A value as a params file has it."""
    text = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
    return text.replace("'", '"') if isinstance(value, str) else text


def cell(text: str) -> str:
    """Code in a cell of a table."""
    return f"`{text}`"


def escaped(text: str) -> str:
    """Plain words in a cell of a table; what stands between backticks is code already."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", r"\|"))
    plain = [re.sub(r"([*_\[\]>])", r"\\\1", part).replace("<", "&lt;") for part in parts]
    return "".join(part if part.startswith("`") else words for part, words in zip(parts, plain, strict=True))
