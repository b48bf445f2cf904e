"""From the plain text of this package's docstrings to Markdown, while the reference is built.

In them equations stand in aligned columns, examples below "Example:", and tags such as <think> in the prose; read as
Markdown, lines would flow together and tags vanish.
"""

import re

from griffe import Extension

SECTION = re.compile(r"(Args|Returns|Yields|Raises):")  # what is indented below it is prose
ALIGNED = re.compile(r"^\S.*\S {2,}\S")  # columns: two spaces or more within a line


class PlainDocstrings(Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj, **_) -> None:
        """Called by griffe for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """The docstring with fences around its columns and examples, and with tags that stay visible.

    Example:
        markdown("Reads <think>.")  # "Reads &lt;think>."
    """
    made, lines, in_section = [], text.splitlines(), False
    while lines:
        if re.fullmatch(r"Examples?:", lines[0]):
            block = _while(lines[1:], lambda line: line.startswith(" ") or not line.strip())
            code = "\n".join(line.removeprefix("    ") for line in block).strip("\n")
            made += ["**Example**", "", "```pycon" if ">>>" in code else "```python", *code.splitlines(), "```", ""]
            lines = lines[1 + len(block) :]
        elif ALIGNED.match(lines[0]):
            block = _while(lines, lambda line: ALIGNED.match(line) is not None)
            made += ["", "```text", *block, "```", ""]
            lines = lines[len(block) :]
        else:
            if lines[0].strip() and not lines[0].startswith(" "):
                in_section = SECTION.fullmatch(lines[0]) is not None
            is_code = lines[0].startswith("    ") and not in_section
            made.append(lines[0] if is_code else _visible(lines[0]))
            lines = lines[1:]
    return "\n".join(made)


def _while(lines: list[str], belongs) -> list[str]:
    end = next((number for number, line in enumerate(lines) if not belongs(line)), len(lines))
    return lines[:end]


def _visible(line: str) -> str:
    """Tags as text, except in code."""
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)
