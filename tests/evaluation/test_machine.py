import platform

import torch

from worldmodel_train.evaluation.machine import describe_machine


def test_the_machine_is_named_with_its_cores_and_versions():
    machine = describe_machine(torch.device("cpu"))
    assert machine.processor
    assert machine.num_cores >= 1
    assert machine.device == "CPU"
    assert machine.versions["python"] == platform.python_version()
    assert machine.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
