"""What a user is told when a recipe is wrong."""

from collections.abc import Iterable

from worldmodel_train.config.origins import KeyPath


class RecipeError(ValueError):
    """Everything wrong with a recipe, one line for each problem, ready to print."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class CombinationError(ValueError):
    """Values that are each fine but do not fit together; each problem names the key to change."""

    def __init__(self, problems: Iterable[tuple[KeyPath, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(message for _, message in self.problems))
