import torch

from worldmodel_train.jepa.vjepa import Config


def test_matrices_and_mask_tokens_decay_and_vectors_do_not():
    torch.manual_seed(0)
    objective = Config.tiny().build()
    groups = {group.name: group for group in objective.parameter_groups()}
    assert {name: group.weight_decay for name, group in groups.items()} == {
        "encoder": True,
        "encoder_no_decay": False,
        "predictor": True,
        "predictor_no_decay": False,
    }
    decayed = {id(p) for group in groups.values() if group.weight_decay for p in group.parameters}
    for name, parameter in objective.named_parameters():
        if not name.startswith("target_encoder"):
            is_matrix = name.endswith("mask_tokens") or (
                name.endswith("weight") and "norm" not in name
            )
            assert (id(parameter) in decayed) == is_matrix, name
