"""A probe equals Hugging Face's V-JEPA 2 classifier, with the same random weights, in fp32."""

import torch
from transformers import VJEPA2Config, VJEPA2ForVideoClassification

from tests.models.huggingface_pooler import pooler_state
from worldmodel_train.interop import import_checkpoint
from worldmodel_train.jepa.vjepa import Config as VJepaConfig
from worldmodel_train.masks import Multiblock3D
from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.models.position import Rope3dVJepa2
from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.tubelet_embed import IMAGENET_MEAN, IMAGENET_STD
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.probes.answers import OneClass
from worldmodel_train.probes.attentive import AttentiveProbes, GridConfig, SeenTokens
from worldmodel_train.probes.heads import AttentiveProbe

CLASSES = 5
THEIRS = VJEPA2Config(
    patch_size=8,
    crop_size=32,
    frames_per_clip=4,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_pooler_layers=3,
    pred_hidden_size=24,
    pred_num_hidden_layers=1,
    pred_num_attention_heads=2,
    pred_num_mask_tokens=2,
    num_labels=CLASSES,
)


def their_classifier():
    torch.manual_seed(0)
    model = VJEPA2ForVideoClassification(THEIRS).eval()
    for parameter in model.parameters():  # biases and the query too, or they prove nothing
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def our_classifier(theirs, folder):
    """The encoder through an import, as a user would; the probe's weights by name."""
    theirs.vjepa2.save_pretrained(folder)
    size = BlocksConfig(width=48, depth=2, heads=2)
    objective = VJepaConfig(
        encoder=EncoderConfig(size=size, patch=8, tubelet=2, position=Rope3dVJepa2()),
        predictor=PredictorConfig(width=24, depth=1, heads=2, mask_tokens=2),
        masks=(Multiblock3D(num_blocks=1),),
    ).build()
    import_checkpoint(folder, objective)
    probe = AttentiveProbe(BlocksConfig(width=48, depth=3, heads=2), num_classes=CLASSES)
    probe.pooler.load_state_dict(pooler_state(theirs.pooler))
    probe.classifier.load_state_dict(theirs.classifier.state_dict())
    encoder = FrozenPart(objective.target_encoder, origin="theirs")
    seen = SeenTokens(encoder, layers=(len(objective.target_encoder.blocks),), segments=1)
    return AttentiveProbes(seen, [probe], grid=GridConfig(), answers=OneClass()).eval()


@torch.no_grad()
def test_logits_equal_those_of_the_peer(tmp_path):
    theirs = their_classifier()
    generator = torch.Generator().manual_seed(1)
    clips = torch.randint(256, (3, 4, 32, 32, 3), generator=generator, dtype=torch.uint8)
    normal = (clips / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    expected = theirs(normal.movedim(-1, 2)).logits
    found = our_classifier(theirs, tmp_path).logits(clips)[0]
    # fp32 over two networks, each sum in another order
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
