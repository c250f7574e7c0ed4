import json

import numpy as np

from benchmarks.learning.goal_trials import told
from worldmodel_train.evaluation.planning.closed_loop import Attempts


def test_what_nobody_reached_is_json_too():
    nobody = Attempts(
        states=np.zeros((3, 2, 2)), arrival=np.array([-1, -1]), seconds_per_action=0.002
    )
    found = json.loads(json.dumps(told(nobody), allow_nan=False))
    assert found["actions"] is None
    assert found["share"] == 0.0
    assert found["ms"] == 2.0
