"""Links of the pages lead somewhere, and what a page lists is complete."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
PROTOCOL = re.compile(r"^class (\w+)\(Protocol", re.MULTILINE)


def anchors(page):
    """The names that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {word.replace(" ", "-") for word in words}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_link_leads_to_a_file_and_a_heading(page):
    for name, anchor in LINK.findall(page.read_text()):
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {name}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {name}#{anchor}"


@pytest.mark.parametrize("page", ["README.md", "docs/recipes.md"])
def test_every_recipe_is_listed_with_what_stands_behind_it(page):
    named = re.findall(r"`(\w+(?:\{[\w,]+\}\w*)?)`", (ROOT / page).read_text())
    recipes = {recipe.stem for recipe in (ROOT / "recipes").glob("*.yaml")}
    assert recipes - {name for one in named for name in spelled_out(one)} == set()


def test_every_task_is_listed_with_what_it_measures():
    files = (ROOT / "worldmodel_train" / "evaluation" / "tasks").glob("*.py")
    page = (ROOT / "docs" / "recipes.md").read_text()
    tasks = {file.stem for file in files} - {"__init__"}
    assert {name for name in tasks if f"| `{name}` |" not in page} == set()


def test_the_map_has_every_protocol():
    files = (ROOT / "worldmodel_train" / "protocols").glob("*.py")
    protocols = [name for file in files for name in PROTOCOL.findall(file.read_text())]
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert protocols
    assert [name for name in protocols if f"| `{name}` |" not in page] == []


def test_the_first_screen_is_small():
    assert (ROOT / "docs" / "first_screen.png").stat().st_size <= 200 * 1024


def spelled_out(name):
    """`a_{b,c}_d` is a_b_d and a_c_d."""
    match = re.fullmatch(r"(\w*)\{(.*)\}(\w*)", name)
    return [match[1] + part + match[3] for part in match[2].split(",")] if match else [name]
