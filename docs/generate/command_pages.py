"""A page of every command of `vqa`, from the help that the command itself gives."""

import typer

from vqa_lib.cli import app


def navigation() -> dict:
    """The section of the site."""
    return {"Commands": "commands.md"}


def pages() -> dict[str, str]:
    """One page."""
    group = typer.main.get_command(app)
    lines = ["# Commands", "", f"{group.help} `vqa COMMAND --help` says the same on the command line. "
             "In a checkout the command is `.venv/bin/vqa`."]  # fmt: skip
    for name, command in commands(group):
        lines += ["", f"## {name}", "", *_described(name, command)]
    return {"commands.md": "\n".join(lines) + "\n"}


def commands(group, prefix: str = "vqa") -> list[tuple[str, object]]:
    """All commands below a group, with the words that call each."""
    found = []
    for name, command in group.commands.items():
        words = f"{prefix} {name}"
        found += commands(command, words) if hasattr(command, "commands") else [(words, command)]
    return found


def _described(name: str, command) -> list[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([name, *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    lines = ["```text", usage, "```", "", _plain(command.help)]
    if arguments:
        lines += ["", "| argument | |", "|---|---|"]
        lines += [f"| `{_name(one)}` | {_plain(one.help or '')} |" for one in arguments]
    if options:
        lines += ["", "| option | default | |", "|---|---|---|"]
        lines += [f"| {_flags(one)} | {_default(one)} | {_plain(one.help or '')} |" for one in options]
    return lines


def _name(parameter) -> str:
    return parameter.metavar or parameter.name.upper()


def _argument(parameter) -> str:
    several = "..." if parameter.nargs == -1 else ""
    return f"{_name(parameter)}{several}" if parameter.required else f"[{_name(parameter)}{several}]"


def _flags(parameter) -> str:
    return ", ".join(f"`{flag}`" for flag in [*parameter.opts, *parameter.secondary_opts])


def _default(parameter) -> str:
    if parameter.required:
        return "needed"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    return "" if parameter.default in (None, False, "", [], ()) else f"`{parameter.default}`"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
