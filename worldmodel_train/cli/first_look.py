"""A first look at a recipe, before torch is imported, which takes seconds.

It finds unknown keys, wrong types and choices, and says of them what the full check says, by the
same code over the JSON schema of recipes that the package has in `assets`. That file is made from
the configurations by `make schema`. Where their sources are not those that it was made of, nothing
is refused here, so that the full check has the last word.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import worldmodel_train
from worldmodel_train.config.errors import RecipeError
from worldmodel_train.config.from_schema import model_from_schema
from worldmodel_train.config.origins import Document
from worldmodel_train.config.read import read_model
from worldmodel_train.recipe_document import (
    DEFAULT_KIND,
    named_method,
    read_document,
    refuse_method,
)

PACKAGE = Path(worldmodel_train.__file__).parent
STORED = PACKAGE / "assets" / "recipe_schema.json"
"""`schema`, and `sources`: the files that define the configurations, with their digests."""


def first_look(name_or_path: str, overrides: Iterable[str] = ()) -> None:
    """Refuses a recipe for what can be known without torch.

    Raises:
        RecipeError: one line for every such problem, as `load_recipe` has it.
    """
    document = read_document(name_or_path, overrides)
    stored = json.loads(STORED.read_text())
    try:
        _check(document, stored["schema"])
    except RecipeError:
        if stored["sources"] == {file: digest(PACKAGE / file) for file in stored["sources"]}:
            raise


def digest(file: Path) -> str:
    """What tells two versions of a source file apart; empty where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""


def _kind_of_data(document: Document, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of what the document has under `data`; anything goes where that is no kind."""
    written = document.values.get("data")
    name = written.get("name", DEFAULT_KIND) if isinstance(written, dict) else DEFAULT_KIND
    for kind in schema["properties"]["data"]["oneOf"]:
        definition = schema["$defs"][kind["$ref"].rpartition("/")[2]]
        if definition["properties"]["name"]["const"] == name:
            return {**schema["properties"]["data"], **kind}
    return {"description": schema["properties"]["data"]["description"]}


def _tasks(document: Document, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of tasks; anything goes where one is in a file that the schema does not know."""
    tasks, written = schema["properties"]["evaluation"], document.values.get("evaluation")
    known = list(tasks["anyOf"][0]["items"]["discriminator"]["mapping"])
    items = written if isinstance(written, list) else ()
    named = [task.get("name") for task in items if isinstance(task, dict)]
    new = [name for name in named if name not in known]
    if any((PACKAGE / "evaluation" / "tasks" / f"{name}.py").is_file() for name in new):
        return {"description": tasks["description"]}
    return tasks


def _check(document: Document, schema: dict[str, Any]) -> None:
    name = named_method(document)
    methods = schema["properties"]["method"]["discriminator"]["mapping"]
    if name in methods:
        method = {**schema["properties"]["method"], "$ref": methods[name]}
        properties = {**schema["properties"], "method": method}
        properties["data"] = _kind_of_data(document, schema)
        properties["evaluation"] = _tasks(document, schema)
        read_model(model_from_schema({**schema, "properties": properties}), document)
    elif name is None or not (PACKAGE / f"{name}.py").is_file():  # a new one is not in the schema
        refuse_method(document, methods)
