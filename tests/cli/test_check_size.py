import pytest

from worldmodel_train.cli import check_size
from worldmodel_train.recipe import load_recipe


@pytest.mark.parametrize("size", ["{width: 4000000000, depth: 1, heads: 2}",
                                  "{width: 64, depth: 100000000000, heads: 2}"])  # fmt: skip
def test_a_model_larger_than_the_host_is_refused_before_it_is_built(size):
    recipe = load_recipe("demo", [f"method.encoder.size={size}"])
    with pytest.raises(ValueError, match=r"take [\d,.]+ GB in fp32, .* use a smaller width"):
        check_size.check_size(recipe)


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(check_size, "_LIMIT", limit)
    machine = check_size.host_bytes()
    limit.write_text("max\n")
    assert check_size.host_bytes() == machine
    limit.write_text("1000000\n")
    with pytest.raises(ValueError, match=r"this machine has 0\.0 GB"):
        check_size.check_size(load_recipe("demo"))
