"""Released weights come in for clips of another size: positions are computed, none are stored.

So does the released code where it builds its model for the new size: a table of another shape in a
file gives way to the one that the model has made.
"""

import numpy as np
import pytest
import torch

from worldmodel_train.interop import ClipSize, export_checkpoint, import_checkpoint

PATCH, TUBELET = 8, 2
TABLES = {"encoder": "pos_embed", "predictor": "predictor_pos_embed"}
SIZES = {
    "sincos2d": (ClipSize(1, 32, 32), ClipSize(1, 64, 64)),
    "sincos3d": (ClipSize(4, 32, 32), ClipSize(8, 48, 48)),
    "rope3d_vjepa2": (ClipSize(4, 32, 32), ClipSize(8, 48, 48)),
}


def axis(places, channels):
    """Sines, then cosines, of one axis."""
    rates = 1 / 10_000 ** (np.arange(channels // 2) / (channels / 2))
    angles = places.reshape(-1, 1) * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def released_table(position, size, width):
    """As the description has it, in NumPy, for a model that was built for this size."""
    rows, columns = size.height // PATCH, size.width // PATCH
    if position == "sincos2d":
        down, across = np.indices((rows, columns))
        return np.concatenate([axis(across, width // 2), axis(down, width // 2)], axis=1)
    time, down, across = np.indices((size.frames // TUBELET, rows, columns))
    third = 2 * int(np.ceil(width / 6))
    parts = [axis(places, third) for places in (time, down, across)]
    return np.concatenate(parts, axis=1)[:, :width]


def written(objective, path, size):
    """All tensors of an exported file, without the wrappers' prefixes."""
    export_checkpoint(objective, path, layout="meta", clip=size)
    content = torch.load(path, weights_only=True)
    return {
        (key, name.removeprefix("module.").removeprefix("backbone.")): tensor
        for key in ("encoder", "target_encoder", "predictor")
        for name, tensor in content[key].items()
    }


@pytest.mark.parametrize("position", SIZES)
def test_all_but_the_tables_is_the_same_and_those_are_of_the_new_size(
    tmp_path, build_objective, position
):
    (small, large), path = SIZES[position], tmp_path / "small.pt"
    before = written(build_objective(position), path, small)
    objective = build_objective(position, seed=9)
    import_checkpoint(path, objective)
    after = written(objective, tmp_path / "large.pt", large)
    assert after.keys() == before.keys()
    tables = {place for place in before if place[1] in TABLES.values()}
    assert bool(tables) == position.startswith("sincos")
    assert all(torch.equal(after[place], before[place]) for place in before.keys() - tables)
    for key, name in tables:
        for found, size in ((before, small), (after, large)):
            table = found[key, name]
            expected = released_table(position, size, table.shape[-1])
            torch.testing.assert_close(
                table[0].double(), torch.from_numpy(expected), rtol=0, atol=1e-6
            )


@pytest.mark.parametrize("position", ["sincos2d", "sincos3d"])
def test_larger_clips_are_given_the_larger_table(tmp_path, build_objective, position):
    small, large = SIZES[position]
    export_checkpoint(build_objective(position), tmp_path / "a.pt", layout="meta", clip=small)
    encoder = (objective := build_objective(position, seed=9)).target_encoder
    import_checkpoint(tmp_path / "a.pt", objective)
    entered = []
    encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    shape = (1, large.frames, large.height, large.width, 3)
    pixels = torch.randint(
        256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        encoder(pixels)
        index = torch.arange(encoder.patch_embed.grid(pixels).num_tokens)[None]
        plain = encoder.patch_embed(pixels, index)
    (tokens,) = entered
    table = torch.from_numpy(released_table(position, large, tokens.shape[-1])).float()
    torch.testing.assert_close(tokens.view_as(plain), plain + table, rtol=0, atol=1e-5)
