import torch

from worldmodel_train.probes.linear_pixels import LinearPixels


def test_it_finds_a_linear_map_from_sums_over_batches():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(20, 50, 6, generator=generator)
    tubelets = 0.5 + latents @ torch.randn(6, 4, generator=generator)
    linear = LinearPixels()
    for first in range(0, 20, 7):
        linear.add(latents[first : first + 7], tubelets[first : first + 7])
    torch.testing.assert_close(linear.decode(latents), tubelets, atol=0.02, rtol=0)


def test_latents_that_say_nothing_give_the_mean_of_the_pixels():
    linear, tubelets = LinearPixels(), torch.rand(3, 10, 4)
    linear.add(torch.zeros(3, 10, 6), tubelets)
    mean = tubelets.flatten(0, 1).mean(dim=0).expand(1, 2, -1)
    torch.testing.assert_close(linear.decode(torch.zeros(1, 2, 6)), mean)
