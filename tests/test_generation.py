"""The tiny generator, sampling, and adapters: T2V-Turbo's published form among them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet3DConditionModel
from diffusers.pipelines.latent_consistency_models.pipeline_latent_consistency_text2img import (
    LatentConsistencyModelPipeline,
)

from vqa_lib.generation.adapters import (
    adapted_layers,
    add_adapter,
    merge_turbo_lora,
    save_adapter,
    switch_adapter,
    with_guidance_embedding,
)
from vqa_lib.generation.autoencoder import build_vae, encode_clips, start_vae, to_tensor, train_vae
from vqa_lib.generation.sampling import (
    borrow_generator,
    encode_texts,
    generate_clips,
    guidance_embedding,
    load_generator,
    tokenize,
    write_clips,
)
from vqa_lib.generation.tiny import (
    build_generator,
    draw_plain_clips,
    draw_training_clips,
    save_generator,
    train_denoiser,
    world_texts,
)
from vqa_lib.miniature.generated_prompts import world_prompts
from vqa_lib.miniature.measures import measure_clips
from vqa_lib.paths import STARTER_GENERATOR
from vqa_lib.video import FramePolicy, read_video

SMALL = {"steps": 2, "frames": 4, "size": (24, 16)}
PROMPTS = ["a red circle moves left over bricks", "a blue square moves up over stars"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("generator")
    build_generator(path, world_texts()[:40], channels=(16, 16))
    return path


@pytest.fixture
def generator(folder):
    return load_generator(folder)


def turbo_file(unet, path: Path, rank: int = 32, seed: int = 0) -> list[torch.Tensor]:
    """A file as T2V-Turbo publishes: rank 32, or the narrower side of a layer if that is less."""
    random = torch.Generator().manual_seed(seed)
    tensors = []
    for _, layer in adapted_layers(unet):
        outputs, inputs, *kernel = layer.weight.shape
        size = min(rank, outputs, inputs)
        tensors.append(torch.randn(outputs, size, *[1] * len(kernel), generator=random) * 0.1)
        tensors.append(torch.randn(size, inputs, *kernel, generator=random) * 0.1)
    torch.save(tensors, path)
    return tensors


def inputs_of(unet, clips: int = 1):
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(clips, unet.config.in_channels, 4, 2, 4, generator=random)
    return (
        latents,
        torch.tensor([500] * clips),
        torch.randn(clips, 5, unet.config.cross_attention_dim, generator=random),
    )


def test_the_folder_has_modelscopes_layout(folder, generator):
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "TextToVideoSDPipeline"
    for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        assert (folder / part).is_dir()
        assert type(getattr(generator, part)).__name__ == index[part][1]


def test_words_become_tokens_of_their_own(generator):
    ids = tokenize(generator.tokenizer, [*PROMPTS, ""])
    assert ids.shape == (3, generator.tokenizer.model_max_length)
    assert generator.tokenizer.tokenize(PROMPTS[0]) == [f"{word}</w>" for word in PROMPTS[0].split()]
    assert not torch.equal(encode_texts(generator, [PROMPTS[0]]), encode_texts(generator, [PROMPTS[1]]))


def test_committed_generator_is_small_and_knows_colours_and_grounds():
    files = [path for path in STARTER_GENERATOR.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    asked = list(world_prompts(0)[:16])
    clips = generate_clips(load_generator(STARTER_GENERATOR), [prompt.text for prompt in asked], list(range(16)))
    assert clips.shape == (16, 8, 56, 80, 3)
    measured = measure_clips(clips, asked)
    # By chance a sixth of the colours and a fifth of the grounds would follow. Which shape, and where it moves, is not
    # learnt beyond chance: see notebooks/04_generator.
    assert measured["follows colour"].mean() > 0.75
    assert measured["follows background"].mean() > 0.5
    assert measured["overall"].mean() > 0.35


def test_training_moves_the_loss_and_survives_saving(folder, tmp_path):
    generator = load_generator(folder)
    clips, texts = draw_training_clips(6)
    assert clips.shape == (6, 8, 56, 80, 3)
    assert clips.dtype == np.uint8
    decoder = train_vae(generator.vae, clips, steps=12, size=4, peak=2e-4)
    assert np.mean([line["loss"] for line in decoder[-3:]]) < 0.1
    latents = encode_clips(generator.vae, clips)
    assert latents.shape == (6, 8, 8, 7, 10)
    denoiser = train_denoiser(generator, latents, texts, steps=6, size=2)
    assert [line["step"] for line in denoiser] == list(range(6))
    assert all(np.isfinite(line["loss"]) for line in denoiser)
    save_generator(tmp_path, generator)
    clip = generate_clips(load_generator(tmp_path), PROMPTS, [0, 1], **SMALL)
    assert clip.shape == (2, 4, 16, 24, 3)
    assert not [path for path in tmp_path.rglob("*.json") if str(folder) in path.read_text()]


def test_plain_clips_show_what_is_asked_over_one_colour():
    clips, texts = draw_plain_clips(24)
    again, _ = draw_plain_clips(24)
    np.testing.assert_array_equal(clips, again)
    asked = {prompt.text: prompt for prompt in world_prompts(0)[:260]}
    measured = measure_clips(clips, [asked[text] for text in texts])
    for part in ("shape", "colour", "direction"):
        assert measured[f"follows {part}"].mean() > 0.9, part
    corners = clips[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].reshape(24, -1, 3)
    usual = np.median(corners, 1)
    assert np.mean((corners == usual[:, None]).all(2)) > 0.9  # a shape may pass a corner


def test_high_noise_is_as_frequent_as_asked(generator, monkeypatch):
    seen = []
    velocity = type(generator.scheduler).get_velocity
    monkeypatch.setattr(
        type(generator.scheduler),
        "get_velocity",
        lambda self, clips, noise, times: seen.append(times) or velocity(self, clips, noise, times),
    )
    latents = torch.zeros(4, 8, 2, 2, 2)
    for noisy, share in ((1.0, 0.1), (2.0, 0.1**0.5)):
        seen.clear()
        train_denoiser(generator, latents, PROMPTS * 2, steps=2, size=200, noisy=noisy)
        times = torch.cat(seen)
        assert times.min() >= 0 and times.max() <= 999
        assert abs((times >= 900).float().mean() - share) < 0.02


def test_the_autoencoder_starts_with_colours_and_places():
    """Before any training: latents of even spread that come back as the colours, at the places, that they were of."""
    frames = np.full((64, 56, 80, 3), 110, np.uint8)
    random = np.random.default_rng(0)
    for frame in frames:
        x, y = random.integers(60), random.integers(36)
        frame[y : y + 20, x : x + 20] = random.integers(0, 256, 3)
    torch.manual_seed(0)
    vae, shown = build_vae(80), to_tensor(frames)
    start_vae(vae, shown)
    with torch.no_grad():
        code = vae.encode(shown).latent_dist
        error = (vae.decode(code.mode()).sample - shown).square().mean()
    torch.testing.assert_close(code.mode().mean((0, 2, 3)), torch.zeros(8), atol=0.01, rtol=0)
    assert code.mode().std((0, 2, 3)).max() < 1.05
    torch.testing.assert_close(code.std, torch.full_like(code.std, 0.1), atol=1e-4, rtol=0)
    assert error < 0.25 * shown.var()


@pytest.mark.parametrize("scheduler", ["ddim", "lcm"])
def test_a_clip_depends_on_its_own_seed_and_prompt_alone(generator, scheduler):
    together = generate_clips(generator, [*PROMPTS, PROMPTS[0]], [3, 4, 5], scheduler, **SMALL)
    alone = generate_clips(generator, [PROMPTS[1]], [4], scheduler, **SMALL)
    assert np.abs(together[1].astype(int) - alone[0]).max() <= 1
    by_ones = generate_clips(generator, [*PROMPTS, PROMPTS[0]], [3, 4, 5], scheduler, batch=1, **SMALL)
    assert np.abs(together.astype(int) - by_ones).max() <= 1
    assert np.abs(together[0].astype(int) - together[2]).mean() > 1  # same prompt, other seed


def test_guidance_of_one_is_the_conditional_model_and_more_moves_away(generator):
    plain = generate_clips(generator, PROMPTS, [0, 1], guidance=1, **SMALL)
    guided = generate_clips(generator, PROMPTS, [0, 1], guidance=50, **SMALL)
    close = generate_clips(generator, PROMPTS, [0, 1], guidance=1 + 1e-6, **SMALL)
    assert np.abs(plain.astype(int) - close).max() <= 1
    assert np.abs(plain.astype(int) - guided).max() > 1


def test_guidance_embedding_is_diffusers_own():
    theirs = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, torch.tensor([7.5]), embedding_dim=256)
    torch.testing.assert_close(guidance_embedding(7.5, 256), theirs, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [0]}, "a seed for each prompt: got 2 prompts and 1 seeds"),
        ({"scheduler": "euler"}, "scheduler must be one of ddim, lcm; got 'euler'"),
        ({"steps": 0}, "steps, batch and frames must be at least 1, got 0, 8 and 4"),
        ({"size": (24, 20)}, "width and height must be multiples of 8, got 24 x 20"),
    ],
)
def test_bad_requests_are_refused(generator, change, message):
    with pytest.raises(ValueError, match=message):
        generate_clips(generator, **{"prompts": PROMPTS, "seeds": [0, 1], **SMALL, **change})


def test_no_prompts_no_clips(generator):
    assert generate_clips(generator, [], [], **SMALL).shape == (0, 4, 16, 24, 3)


def test_written_clips_can_be_read(tmp_path):
    clip = np.full((1, 8, 56, 80, 3), 120, np.uint8)
    write_clips(clip, [tmp_path / "new" / "clip.mp4"])
    frames = read_video(tmp_path / "new" / "clip.mp4", FramePolicy(count=8))
    assert frames.pixels.shape == (8, 56, 80, 3)
    assert (frames.fps, frames.total) == (4.0, 8)
    assert np.abs(frames.pixels.astype(int) - 120).max() <= 4
    with pytest.raises(ValueError, match="a path for each clip: got 1 clips and 0 paths"):
        write_clips(clip, [])


def test_guidance_embedding_is_added_without_changing_the_unet(generator):
    latents, times, words = inputs_of(generator.unet)
    wider = with_guidance_embedding(generator.unet).eval()
    assert wider.config.time_cond_proj_dim == 256
    condition = guidance_embedding(7.5, 256)
    with torch.no_grad():
        before = generator.unet(latents, times, words).sample
        torch.testing.assert_close(wider(latents, times, words, timestep_cond=condition).sample, before)
    assert with_guidance_embedding(wider) is wider


def test_turbo_adapter_is_merged_layer_by_layer(folder, tmp_path):
    base = with_guidance_embedding(load_generator(folder).unet)
    tensors = turbo_file(base, tmp_path / "unet_lora.pt")
    merged = load_generator(folder, tmp_path / "unet_lora.pt").unet
    layers = dict(adapted_layers(merged))
    kinds = {type(layer).__name__ for layer in layers.values()}
    assert kinds == {"Linear", "Conv2d", "Conv3d"}
    assert "time_embedding.cond_proj" in layers
    for number, (name, layer) in enumerate(adapted_layers(base)):
        up, down = tensors[2 * number : 2 * number + 2]
        change = torch.einsum("or,ri...->oi...", up.flatten(1), down)
        torch.testing.assert_close(layers[name].weight, layer.weight + change, msg=name)


@pytest.mark.parametrize("kind", [torch.nn.Linear, torch.nn.Conv2d, torch.nn.Conv3d])
def test_a_merged_pair_is_down_then_up(kind):
    """What the official code computes before it merges: the layer's output plus up(down(input))."""
    options = {} if kind is torch.nn.Linear else {"kernel_size": 3, "padding": 1}
    layer, down = kind(4, 6, bias=False, **options), kind(4, 2, bias=False, **options)
    up = kind(2, 6, bias=False, **({} if kind is torch.nn.Linear else {"kernel_size": 1}))
    shape = {torch.nn.Linear: (3, 4), torch.nn.Conv2d: (3, 4, 5, 5), torch.nn.Conv3d: (3, 4, 5, 5, 5)}[kind]
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = layer(inputs) + up(down(inputs))
        layer.weight += (up.weight.flatten(1) @ down.weight.flatten(1)).view(layer.weight.shape)
        torch.testing.assert_close(layer(inputs), expected, atol=1e-5, rtol=1e-4)


def test_a_turbo_generator_samples_by_lcm_and_hears_its_guidance(folder, tmp_path):
    turbo_file(with_guidance_embedding(load_generator(folder).unet), tmp_path / "unet_lora.pt")
    generator = load_generator(folder, tmp_path / "unet_lora.pt")
    low, high = (generate_clips(generator, PROMPTS, [0, 1], "lcm", guidance=w, **SMALL) for w in (1.0, 7.5))
    assert low.shape == (2, 4, 16, 24, 3)
    assert np.abs(low.astype(int) - high).max() > 0


def test_what_was_borrowed_has_no_weights_left_even_after_an_error(folder):
    with pytest.raises(KeyError), borrow_generator(folder) as generator:
        assert generate_clips(generator, PROMPTS, [0, 1], **SMALL).shape == (2, 4, 16, 24, 3)
        raise KeyError
    parts = (generator.unet, generator.vae, generator.text_encoder)
    assert {weight.device.type for part in parts for weight in part.parameters()} == {"meta"}


def test_in_float16_adapters_are_merged_before_weights_are_rounded(folder, tmp_path):
    path = tmp_path / "unet_lora.pt"
    turbo_file(with_guidance_embedding(load_generator(folder).unet), path)
    exact, half = load_generator(folder, path), load_generator(folder, path, "float16")
    for name, weight in exact.unet.state_dict().items():
        torch.testing.assert_close(half.unet.state_dict()[name], weight.half(), rtol=0, atol=0)
    clips = [generate_clips(each, PROMPTS, [0, 1], **SMALL).astype(int) for each in (exact, half)]
    assert np.abs(clips[0] - clips[1]).mean() < 2


def test_turbo_files_that_do_not_fit_are_refused_and_change_nothing(folder, tmp_path):
    unet = with_guidance_embedding(load_generator(folder).unet)
    path = tmp_path / "unet_lora.pt"
    tensors = turbo_file(unet, path)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    layers = len(adapted_layers(unet))
    name = adapted_layers(unet)[-1][0]
    spoilt = {
        rf"expected two tensors for each of {layers} layers, got {2 * layers - 1} tensors": tensors[:-1],
        "expected a list of tensors, got dict": {"up": tensors[0]},
        rf"{name} has weights .*; up .* and down .* do not fit it": [*tensors[:-1], tensors[-1][:, :1]],
        r"conv_in has weights .* do not fit it": [tensors[1], tensors[0], *tensors[2:]],  # down before up
    }
    for message, content in spoilt.items():
        torch.save(content, path)
        with pytest.raises(ValueError, match=message):
            merge_turbo_lora(unet, path)
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


def test_a_turbo_file_with_code_in_it_is_not_run(folder, tmp_path):
    torch.save([Path("anything")], tmp_path / "unet_lora.pt")
    with pytest.raises(Exception, match="Weights only load failed"):
        load_generator(folder, tmp_path / "unet_lora.pt")


def test_own_adapter_saved_merged_and_switched_off_agree(folder, tmp_path):
    unet = load_generator(folder).unet
    latents, times, words = inputs_of(unet)
    with torch.no_grad():
        plain = unet(latents, times, words).sample
        add_adapter(unet, rank=2)
        torch.testing.assert_close(unet(latents, times, words).sample, plain)  # a fresh adapter changes nothing
        random = torch.Generator().manual_seed(0)
        for name, parameter in unet.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.1)
        tuned = unet(latents, times, words).sample
        switch_adapter(unet, on=False)
        torch.testing.assert_close(unet(latents, times, words).sample, plain)
        switch_adapter(unet, on=True)
        torch.testing.assert_close(unet(latents, times, words).sample, tuned)
        save_adapter(unet, tmp_path, {"rank": 2})
        merged = load_generator(folder, tmp_path).unet
        torch.testing.assert_close(merged(latents, times, words).sample, tuned, atol=1e-4, rtol=1e-3)
    assert (tuned - plain).abs().max() > 0.01
    assert type(merged) is UNet3DConditionModel
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]


def test_adapters_of_another_unet_and_none_are_refused(folder, tmp_path):
    build_generator(tmp_path / "other", world_texts()[:5], channels=(16, 24))
    other = load_generator(tmp_path / "other").unet
    add_adapter(other, rank=2)
    save_adapter(other, tmp_path / "adapter", {"rank": 2})
    with pytest.raises(ValueError, match="the adapter was made for another UNet"):
        load_generator(folder, tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"neither a file \(T2V-Turbo's\) nor a folder with adapter.json"):
        load_generator(folder, tmp_path / "nothing")
