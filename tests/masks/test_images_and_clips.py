import torch

from worldmodel_train.masks import Multiblock3D
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.masks.images_and_clips import ImageAndClipMasks
from worldmodel_train.types import Clips

CLIP_MASKS = (Multiblock3D(num_blocks=1), Multiblock3D(num_blocks=2))
IMAGE_MASKS = (Multiblock3D(num_blocks=3),)


def read(frames, length_index=0):
    pixels = torch.zeros(2, frames, 64, 64, 3, dtype=torch.uint8)
    labels = torch.tensor([4, 7])
    return Clips(pixels=pixels, samples=(3, 4), length_index=length_index, labels=labels)


def test_clips_and_images_get_what_they_would_get_alone():
    prepare = ImageAndClipMasks(samplers=CLIP_MASKS, image_samplers=IMAGE_MASKS, tubelet=2, patch=8)
    clips, images = prepare([read(4), read(1, length_index=1)], seed=5, step=2).groups
    for group, samplers, tubelet in ((clips, CLIP_MASKS, 2), (images, IMAGE_MASKS, 1)):
        alone = MaskPreparation(samplers=samplers, tubelet=tubelet, patch=8)
        (expected,) = alone([read(group.clips.shape[1])], seed=5, step=2).groups
        assert len(group.masks) == len(samplers)
        for ours, theirs in zip(group.masks, expected.masks, strict=True):
            assert torch.equal(ours.target_index, theirs.target_index)
            assert torch.equal(ours.context_index, theirs.context_index)
    assert (clips.length_index, images.length_index) == (0, 1)
    assert images.labels.tolist() == [4, 7]
