import os
import sys

import numpy as np
import pytest

from worldmodel_train.data.decoding.clip_memory import ClipMemory


@pytest.fixture
def ends():
    near = ClipMemory()
    far = ClipMemory(os.dup(near.descriptor))
    yield near, far
    near.close()
    far.close()


def test_what_one_end_writes_the_other_reads_also_after_it_grew(ends):
    near, far = ends
    for shapes in ([(2, 4, 4, 3)], [(3, 8, 8, 3), (5, 16, 16, 3)]):
        read, written = near.arrays(shapes), far.arrays(shapes)
        for number, clip in enumerate(written):
            clip[...] = number + len(shapes)
        assert [clip.shape for clip in read] == shapes
        for number, clip in enumerate(read):
            np.testing.assert_array_equal(clip, number + len(shapes))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot seal a file")
def test_the_other_end_cannot_take_memory_away(ends):
    near, far = ends
    near.arrays([(2, 4, 4, 3)])
    with pytest.raises(PermissionError):
        os.ftruncate(far.descriptor, 1)
