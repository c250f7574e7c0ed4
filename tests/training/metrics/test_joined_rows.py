import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from worldmodel_train.cartography.spectrum import rankme
from worldmodel_train.training.metrics.joined_rows import MAX_LATENTS, join_rows
from worldmodel_train.training.metrics.monitors import latent_monitors

WIDTH = 24


def share(rank, rows):
    """Latents of a rank in directions of its own, three of each sample."""
    generator = torch.Generator().manual_seed(rank)
    latents = torch.zeros(rows, WIDTH)
    latents[:, 8 * rank : 8 * rank + 8] = torch.randn(rows, 8, generator=generator)
    return latents, torch.arange(rows) // 3


def test_one_process_reads_evenly_spread_rows():
    latents = torch.arange(2.0 * MAX_LATENTS)[:, None]
    joined = join_rows({"target": latents}, torch.arange(2 * MAX_LATENTS))["target"]
    assert joined.latents.flatten().tolist() == list(range(0, 2 * MAX_LATENTS, 2))
    assert joined.samples.tolist() == joined.latents.flatten().tolist()


def test_latents_that_are_nobodys_have_no_lidar():
    joined = join_rows({"target": torch.randn(6, 3)}, None)
    assert "target_lidar" not in latent_monitors(joined)


@pytest.mark.distributed
def test_the_rank_of_three_ranks_is_that_of_all_their_latents(tmp_path):
    mp.spawn(_read, args=(tmp_path,), nprocs=3)
    found = torch.load(tmp_path / "found", weights_only=True)
    parts = [share(rank, rows) for rank, rows in enumerate((30, 21, 12))]
    together = torch.cat([latents for latents, _ in parts])
    assert torch.equal(found["latents"], together)
    assert found["samples"].unique().numel() == (30 + 21 + 12) // 3
    whole = rankme(together).item()
    assert abs(found["rankme"].item() - whole) < 1e-6
    assert whole > 2 * max(rankme(latents).item() for latents, _ in parts)


def _read(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=3)
    latents, samples = share(rank, (30, 21, 12)[rank])
    joined = join_rows({"target": latents}, samples)
    if rank == 0:
        rows = joined["target"].without_padding()
        found = {"latents": rows.latents, "samples": rows.samples}
        found["rankme"] = torch.tensor(latent_monitors(joined)["target_rankme"])
        torch.save(found, folder / "found")
    else:
        assert joined == {}
    dist.destroy_process_group()
