"""What mkdocs calls while it builds the site: generated pages are added, executed notebooks are put into theirs."""

import command_pages
import notebook_pages
import paper_pages
import reference_pages
from mkdocs.structure.files import File

from vqa_lib.paths import PACKAGE

ROOT = PACKAGE.parent
# Files of the checkout that pages show; docs/ holds no copies.
SHOWN = {
    "pictures/clips.png": "results/00_quickstart/tiny-seed0-6709f362/figures/clips.png",
}
SECTIONS = [paper_pages, notebook_pages, command_pages, reference_pages]  # in the order of the navigation


def on_config(config):
    """Put the generated sections behind the written ones."""
    for section in SECTIONS:
        config.nav.append(section.navigation())
    return config


def on_files(files, config):
    """Add the generated pages, and the pictures that pages show."""
    for section in SECTIONS:
        for name, text in section.pages().items():
            files.append(File.generated(config, name, content=text))
    for name, path in SHOWN.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_content(html, page, config, files):
    """Put the executed notebook into its page."""
    return notebook_pages.with_notebook(html)
