"""Batches of the loader, and what is in them."""

from itertools import islice

import numpy as np
import torch

from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.types import Masks

GLOBAL_BATCH = 8


class EveryOtherToken:
    """A mask sampler that writes its arguments into the masks."""

    def sample(self, grid, *, seed, step, samples):
        context = torch.tensor([[seed, step, sample, grid.num_tokens] for sample in samples])
        return Masks(context_index=context, target_index=context[:, None])


def prepare(masks):
    return MaskPreparation(samplers=tuple(masks), tubelet=2, patch=8)


def position(rank=0, world_size=1, micro_batch=4, first_step=0):
    return LoaderPosition(
        seed=11,
        rank=rank,
        world_size=world_size,
        micro_batch=micro_batch,
        global_batch=GLOBAL_BATCH,
        first_step=first_step,
    )


NUMBERS = (EveryOtherToken(),)


def batches(data, count, masks=NUMBERS, **place):
    loader = data.build_loader(prepare(masks), position(**place))
    return list(islice(iter(loader), count))


def samples(batch):
    """Sample number -> its clip, for all groups of a batch."""
    return {
        int(masks[2]): group.clips[i].numpy()
        for group in batch.content.groups
        for i, masks in enumerate(group.masks[0].context_index)
    }


def assert_same(left, right):
    assert left.keys() == right.keys()
    for number in left:
        np.testing.assert_array_equal(left[number], right[number])


def merged(parts):
    return {number: clip for batch in parts for number, clip in samples(batch).items()}
