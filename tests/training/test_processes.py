from worldmodel_train.training.processes import Processes


def test_torchrun_variables_are_understood(monkeypatch):
    values = {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1",
              "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1"}  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    found = Processes.from_environment()
    assert (found.rank, found.world_size, found.num_nodes, found.per_node) == (5, 8, 2, 4)
