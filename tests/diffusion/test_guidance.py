"""Guidance against its published formulae, and how much work it asks of the network."""

from __future__ import annotations

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from torch import Tensor

from webui.diffusion.conditioning import Conditioning, Part, Prompt, Span, join_prompts
from webui.diffusion.guidance import CONCAT, GuidedDenoiser, guided
from webui.diffusion.laws import DiscreteLaw, FlowLaw, NoisingLaw
from webui.request import Guidance

SIGMAS = (8.0, 6.0, 4.0, 2.0, 0.0)
X = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
LAW = DiscreteLaw()
CAT, DOG, HAT, NO = 1.0, 2.0, -3.0, 0.25  # a text is one number


def text(value: float) -> Conditioning:
    """A conditioning whose every token holds `value`."""
    return Conditioning(torch.full((1, 2, 3), value), torch.full((1, 5), value))


def estimate(x: Tensor, value: float) -> Tensor:
    """What the network answers for one text: not linear in either."""
    return torch.tanh(x * value) + value


class Network:
    """Answers by the mean over tokens, as attention over equal tokens would, and keeps how many rows each call had."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.told: list[list[float]] = []

    def __call__(self, x: Tensor, sigma: float, conditioning: Conditioning) -> Tensor:
        assert conditioning.rows == x.shape[0]
        self.rows.append(x.shape[0])
        values = conditioning.context.mean((1, 2))
        self.told.append(values.tolist())
        value = values.view(-1, 1, 1, 1)
        made = torch.tanh(x * value) + value
        return made + conditioning.extras[CONCAT] * 0.7 * (1 + value) if CONCAT in conditioning.extras else made


def prompt(*parts: tuple[float, float]) -> Prompt:
    """Texts joined by AND, each with its weight."""
    return Prompt((Span(0, tuple(Part(text(value), weight) for value, weight in parts)),))


def one(value: float, **extras: Tensor) -> Prompt:
    return Prompt.constant(text(value).with_extras(**extras))


def denoiser(
    positive: Prompt,
    guidance: Guidance,
    negative: Prompt | None = None,
    always_negative: bool = False,
    law: NoisingLaw = LAW,
) -> tuple[GuidedDenoiser, Network]:
    network = Network()
    made = guided(network, positive, negative or one(NO), guidance, SIGMAS, law=law, always_negative=always_negative)
    return made, network


def rows_by_step(guidance: Guidance) -> list[int]:
    denoise, network = denoiser(one(CAT), guidance)
    for sigma in SIGMAS[:-1]:
        denoise(X, sigma)
    return network.rows


def test_one_text_is_moved_away_from_the_negative_one_by_the_scale() -> None:
    denoise, network = denoiser(one(CAT), Guidance(scale=7.0))
    base = estimate(X, NO)
    torch.testing.assert_close(denoise(X, 8.0), base + 7.0 * (estimate(X, CAT) - base))
    assert network.rows == [4]  # both texts for both pictures in one call


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_a_scale_below_one_still_mixes_in_the_negative_text(scale: float) -> None:
    denoise, _ = denoiser(one(CAT), Guidance(scale=scale))
    torch.testing.assert_close(denoise(X, 8.0), torch.lerp(estimate(X, NO), estimate(X, CAT), scale))


def test_a_scale_of_one_asks_for_the_positive_text_only() -> None:
    denoise, network = denoiser(one(CAT), Guidance(scale=1.0))
    torch.testing.assert_close(denoise(X, 8.0), estimate(X, CAT))
    assert network.told == [[CAT, CAT]]


def test_a_weight_counts_even_at_a_scale_of_one() -> None:
    denoise, _ = denoiser(prompt((CAT, 0.5)), Guidance(scale=1.0))
    torch.testing.assert_close(denoise(X, 8.0), (estimate(X, NO) + estimate(X, CAT)) / 2)


def test_texts_joined_by_and_add_their_weighted_directions() -> None:
    denoise, network = denoiser(prompt((CAT, 1.0), (DOG, 0.5), (HAT, -0.25)), Guidance(scale=3.0))
    base = estimate(X, NO)
    directions = {value: estimate(X, value) - base for value in (CAT, DOG, HAT)}
    wanted = base + 3.0 * (directions[CAT] + 0.5 * directions[DOG] - 0.25 * directions[HAT])
    torch.testing.assert_close(denoise(X, 8.0), wanted)
    assert network.rows == [8]


def test_every_picture_of_a_batch_has_its_own_texts_and_weights() -> None:
    first, second = prompt((CAT, 1.0), (DOG, 0.5)), prompt((HAT, 0.75))
    together, _ = denoiser(join_prompts([first, second]), Guidance(scale=4.0), join_prompts([one(NO), one(0.5)]))
    made = together(X, 8.0)
    for index, (own, negative) in enumerate([(first, NO), (second, 0.5)]):
        alone, _ = denoiser(own, Guidance(scale=4.0), one(negative))
        torch.testing.assert_close(made[index], alone(X[index : index + 1], 8.0)[0])


def test_pictures_of_a_batch_may_change_their_texts_at_different_times() -> None:
    first = Prompt((Span(0, (Part(text(CAT)),)), Span(3, (Part(text(DOG)),))))
    second = Prompt((Span(1, (Part(text(HAT)),)), Span(3, (Part(text(CAT)),))))
    denoise, network = denoiser(join_prompts([first, second]), Guidance(scale=1.0))
    for sigma in SIGMAS[:-1]:
        denoise(X, sigma)
    assert network.told == [[CAT, HAT], [DOG, HAT], [DOG, CAT], [DOG, CAT]]


def test_prompts_change_by_network_evaluation_whatever_the_sigma() -> None:
    changing = Prompt((Span(1, (Part(text(CAT)),)), Span(2, (Part(text(DOG)),)), Span(3, (Part(text(HAT)),))))
    denoise, network = denoiser(changing, Guidance(scale=1.0))
    for sigma in (8.0, 6.0, 6.0, 4.0, 4.0, 2.0):  # two evaluations a step, as Heun's method asks; then past the end
        denoise(X, sigma)
    assert [told[0] for told in network.told] == [CAT, CAT, DOG, HAT, HAT, HAT]


def test_the_negative_prompt_changes_by_evaluation_too() -> None:
    negative = Prompt((Span(0, (Part(text(NO)),)), Span(1, (Part(text(DOG)),))))
    denoise, network = denoiser(one(CAT), Guidance(), negative)
    denoise(X, 8.0)
    denoise(X, 8.0)
    assert [told[-1] for told in network.told] == [NO, DOG]


LAWS: dict[str, NoisingLaw] = {"epsilon": LAW, "v": DiscreteLaw("v"), "flow": FlowLaw()}


@pytest.mark.parametrize("rescale", [0.5, 1.0])
@pytest.mark.parametrize("kind", LAWS)
def test_rescaling_does_to_network_outputs_what_diffusers_does(kind: str, rescale: float) -> None:
    law, sigma = LAWS[kind], 0.8
    denoise, _ = denoiser(one(CAT), Guidance(scale=9.0, rescale=rescale), law=law)
    wanted, unwanted = (law.prediction(estimate(X, value), X, sigma) for value in (CAT, NO))
    guidance = unwanted + 9.0 * (wanted - unwanted)
    rescaled = rescale_noise_cfg(guidance, wanted, rescale)
    torch.testing.assert_close(denoise(X, sigma), law.denoised(rescaled, X, sigma))
    assert float((rescaled - guidance).abs().max()) > 0.5


def test_outside_its_interval_guidance_asks_for_the_positive_text_only() -> None:
    assert rows_by_step(Guidance(start=0.25, end=0.5)) == [2, 4, 4, 2]
    denoise, _ = denoiser(one(CAT), Guidance(start=0.25))
    torch.testing.assert_close(denoise(X, 8.0), estimate(X, CAT))


def test_outside_its_interval_texts_joined_by_and_are_mixed_by_their_weights_alone() -> None:
    denoise, _ = denoiser(prompt((CAT, 0.7), (DOG, 0.3)), Guidance(scale=7.0, start=0.5))
    torch.testing.assert_close(denoise(X, 8.0), 0.7 * estimate(X, CAT) + 0.3 * estimate(X, DOG))


def test_skipping_early_leaves_the_negative_text_out_of_the_first_share_of_steps() -> None:
    assert rows_by_step(Guidance(skip_early=0.25)) == [2, 2, 4, 4]
    assert rows_by_step(Guidance(skip_early=0.0)) == [4, 4, 4, 4]


def test_below_the_smallest_sigma_every_second_step_leaves_the_negative_text_out() -> None:
    assert rows_by_step(Guidance(minimum_sigma=5.0)) == [4, 4, 4, 2]
    assert rows_by_step(Guidance(minimum_sigma=100.0)) == [4, 2, 4, 2]


def test_picture_guidance_has_two_scales() -> None:
    picture = torch.full((1, 4, 3, 3), 0.3)
    denoise, network = denoiser(one(CAT, concat=picture), Guidance(7.0, image_scale=1.5), one(NO, concat=picture))
    blind = estimate(X, NO)
    seeing = blind + picture * 0.7 * (1 + NO)
    both = estimate(X, CAT) + picture * 0.7 * (1 + CAT)
    # Brooks et al. 2022, equation 3
    torch.testing.assert_close(denoise(X, 8.0), blind + 1.5 * (seeing - blind) + 7.0 * (both - seeing))
    torch.testing.assert_close(denoise.last_negative(), blind)
    assert network.rows == [6]


def test_picture_guidance_is_kept_at_a_text_scale_of_one() -> None:
    picture = torch.full((1, 4, 3, 3), 0.3)
    denoise, network = denoiser(one(CAT, concat=picture), Guidance(1.0, image_scale=2.0), one(NO, concat=picture))
    denoise(X, 8.0)
    assert network.rows == [6]


@pytest.mark.parametrize("tokens", [(2, 2), (2, 3), (4, 6)])
def test_texts_of_different_lengths_give_what_each_gives_alone(tokens: tuple[int, int]) -> None:
    long = Conditioning(torch.randn(1, tokens[0], 3, generator=torch.Generator().manual_seed(1)))
    short = Conditioning(torch.randn(1, tokens[1], 3, generator=torch.Generator().manual_seed(2)))
    denoise, network = denoiser(Prompt.constant(long), Guidance(scale=5.0), Prompt.constant(short))
    base, text_alone = (Network()(X, 8.0, c.expanded(2)) for c in (short, long))
    torch.testing.assert_close(denoise(X, 8.0), base + 5.0 * (text_alone - base))
    assert network.rows == [4]  # one call: contexts were repeated to one length


def test_texts_that_cannot_share_a_batch_are_asked_for_one_by_one() -> None:
    short = Conditioning(torch.full((1, 2, 3), NO))  # has no summary vector, unlike the other
    denoise, network = denoiser(one(CAT), Guidance(scale=5.0), Prompt.constant(short))
    base = estimate(X, NO)
    torch.testing.assert_close(denoise(X, 8.0), base + 5.0 * (estimate(X, CAT) - base))
    assert network.rows == [2, 2]


def test_the_last_negative_estimate_is_that_of_the_latest_call() -> None:
    denoise, _ = denoiser(one(CAT), Guidance(scale=5.0))
    with pytest.raises(ValueError, match="not been called"):
        denoise.last_negative()
    denoise(X, 8.0)
    denoise(X * 2, 6.0)
    torch.testing.assert_close(denoise.last_negative(), estimate(X * 2, NO))


def test_the_positive_estimate_stands_for_a_negative_one_that_was_not_computed() -> None:
    denoise, _ = denoiser(one(CAT), Guidance(scale=1.0))
    denoise(X, 8.0)
    torch.testing.assert_close(denoise.last_negative(), estimate(X, CAT))


SKIPPING = [Guidance(scale=1.0), Guidance(start=0.5), Guidance(skip_early=0.1), Guidance(end=-1.0)]


@pytest.mark.parametrize("guidance", SKIPPING)
@pytest.mark.parametrize("positive", [prompt((CAT, 1.0)), prompt((CAT, 1.0), (DOG, 0.5))])
def test_a_sampler_that_needs_it_gets_the_real_negative_estimate_beside_the_same_result(
    guidance: Guidance, positive: Prompt
) -> None:
    usual, _ = denoiser(positive, guidance)
    needing, _ = denoiser(positive, guidance, always_negative=True)
    torch.testing.assert_close(needing(X, 8.0), usual(X, 8.0))
    torch.testing.assert_close(needing.last_negative(), estimate(X, NO))
