import pytest

from benchmarks import memory


@pytest.mark.slow
def test_kept_bytes_are_as_estimated(bench, tiny):
    content = bench("memory", "--recipe", "demo", *tiny)
    (policies,) = content["numbers"].values()
    assert set(policies) == {"none", "selective", "full"}
    for found in policies.values():
        kept, peak = found
        assert kept["estimated"] == pytest.approx(kept["measured"], rel=0.05)
        assert peak["measured"] >= kept["measured"]


def test_a_policy_that_computes_something_else_is_refused(bench, tiny, monkeypatch, capsys):
    right = memory.set_activation_checkpointing

    def wrong(objective, policy):
        right(objective, policy)
        if policy == "full":
            objective.predictor.proj.bias.data += 1e-3

    monkeypatch.setattr(memory, "set_activation_checkpointing", wrong)
    assert bench("memory", "--recipe", "demo", *tiny) == 1
    assert "activation_checkpointing=full computes something else" in capsys.readouterr().err
