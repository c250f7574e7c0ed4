"""`make schema`: stores what `first_look` checks recipes against."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worldmodel_train.cli.first_look import PACKAGE, STORED, digest
from worldmodel_train.config.fields import models_in
from worldmodel_train.recipe import recipe_of_any_method


def stored_schema() -> str:
    """The text of the stored schema as it must be now."""
    recipe = recipe_of_any_method()
    sources = sorted(_sources(recipe, set()))
    stored: dict[str, Any] = {
        "sources": {file: digest(PACKAGE / file) for file in sources},
        "schema": recipe.model_json_schema(),
    }
    return json.dumps(stored, indent=1) + "\n"


def _sources(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """The files of ours that define `model` and all models below it."""
    for base in model.__mro__:
        file = getattr(sys.modules[base.__module__], "__file__", None)
        if file is not None and Path(file).is_relative_to(PACKAGE):
            yield Path(file).relative_to(PACKAGE).as_posix()
    seen.add(model)
    for field in model.model_fields.values():
        for one in models_in(field.annotation):
            if one not in seen:
                yield from _sources(one, seen)


if __name__ == "__main__":
    STORED.write_text(stored_schema())
