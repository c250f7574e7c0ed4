from worldmodel_train.cli.run_parts import built_objective
from worldmodel_train.facts import DataFacts
from worldmodel_train.jepa import vjepa
from worldmodel_train.protocols import Objective
from worldmodel_train.recipe import load_recipe

told: list[DataFacts] = []


class Told(vjepa.Config):
    """A method whose shapes hang on the data."""

    def build_for(self, facts: DataFacts) -> Objective:
        told.append(facts)
        return self.build()


def test_a_method_that_asks_for_it_is_told_what_its_data_is():
    recipe = load_recipe("demo")
    method = Told.model_validate(vjepa.Config.tiny().model_dump())
    built_objective(recipe.model_copy(update={"method": method}))
    assert told == [recipe.data.open_facts()]
