"""From a document to a frozen model."""

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from worldmodel_train.config.explain import explain
from worldmodel_train.config.origins import Document

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_model(model: type[ModelT], document: Document) -> ModelT:
    """The document as a `model`.

    It is validated as JSON because only there strictness means what a reader of YAML expects: a
    list may become a tuple, but "16" is no number and true is not 1.

    Raises:
        RecipeError: with one line for every problem.
    """
    try:
        return model.model_validate_json(json.dumps(document.values), strict=True)
    except ValidationError as error:
        raise explain(error, model, document) from None
