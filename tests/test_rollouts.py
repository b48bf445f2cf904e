import pytest
import torch

from vqa_lib.models import reference
from vqa_lib.models.families import FAMILIES, core, encode_clips, vision_token_ids, visual_inputs
from vqa_lib.models.loading import load_model
from vqa_lib.models.reference import plain_inputs
from vqa_lib.models.rollouts import choose, draws, respond, sample, sampling_for


@pytest.fixture(scope="module")
def answering(answering_folder):
    """A model whose completions end at different lengths; no test here changes its weights."""
    model, processor = load_model(answering_folder)
    return model.eval(), processor


def watch_tower(model) -> list[int]:
    """The number of patches in each pass of the vision tower, as they happen."""
    seen = []
    core(model).visual.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    return seen


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return draws([(seed, number) for number in range(count)], 28)


class TestGreedy:
    @pytest.mark.parametrize(
        ("chosen", "repeats"),
        [
            ([0, 1, 2], [1, 1, 1]),  # an image, 8 frames, 6 frames; prompts of three lengths
            ([0, 1, 2], [3, 1, 2]),  # as the contrast group makes them: unequal
            ([2, 0, 1], [1, 0, 4]),  # another order; a prompt that nobody asks
            ([1], [2]),  # nothing to pad
            ([0, 0], [2, 2]),  # one clip twice
        ],
    )
    def test_equals_plain_generate(self, answering, encoded, chosen, repeats):
        model, processor = answering
        prompts = [encoded[index] for index in chosen]
        settings = sampling_for(processor.tokenizer, 28)
        ours = sample(model, prompts, repeats, settings)
        assert ours == reference.sample(model, prompts, repeats, settings)
        end = processor.tokenizer.eos_token_id
        assert len(ours) == sum(repeats)
        assert all(completion[-1] == end or len(completion) == 28 for completion in ours)

    def test_equals_plain_generate_of_each_prompt_alone(self, answering, encoded):
        model, processor = answering
        settings = sampling_for(processor.tokenizer, 28)
        together = sample(model, encoded, [1, 1, 1], settings)
        assert together == [sample(model, [prompt], [1], settings)[0] for prompt in encoded]
        assert len({tuple(completion) for completion in together}) > 1  # the prompts do matter

    def test_the_model_is_left_as_it_was(self, answering, encoded):
        # Qwen keeps the offset between positions and tokens in the model: a stale one would shift the next batch.
        model, processor = answering
        settings = sampling_for(processor.tokenizer, 28)
        first = sample(model, encoded[1:], [2, 1], settings)
        sample(model, encoded[:1], [5], settings)
        assert sample(model, encoded[1:], [2, 1], settings) == first
        with torch.no_grad():
            untouched = load_model(model.config._name_or_path)[0].eval()
            before = untouched(**plain_inputs(untouched, encoded)).logits
            torch.testing.assert_close(model(**plain_inputs(model, encoded)).logits, before, rtol=0, atol=1e-5)

    def test_features_may_be_handed_in(self, answering, encoded):
        model, processor = answering
        features = encode_clips(model, encoded)
        seen = watch_tower(model)
        settings = sampling_for(processor.tokenizer, 28)
        given = sample(model, encoded, [1, 2, 1], settings, features=features)
        assert seen == []
        assert given == sample(model, encoded, [1, 2, 1], settings)


class TestSampling:
    @pytest.mark.parametrize(
        "shape",
        [{}, {"temperature": 0.7}, {"top_p": 0.8}, {"top_k": 5}, {"temperature": 1.3, "top_k": 20, "top_p": 0.9}],
    )
    def test_equals_generate_with_the_same_draws(self, answering, encoded, shape):
        model, processor = answering
        settings = sampling_for(processor.tokenizer, 28, **shape)
        ours = sample(model, encoded, [2, 3, 3], settings, keys(8))
        assert ours == reference.sample(model, encoded, [2, 3, 3], settings, keys(8))
        assert len({tuple(completion) for completion in ours}) > 2
        assert len({len(completion) for completion in ours}) > 1  # some end before others

    def test_follows_the_keys_alone(self, answering, encoded):
        """However rows are put together, each says the same: a batch may be split over processes in any way."""
        model, processor = answering
        settings, uniform = sampling_for(processor.tokenizer, 28), keys(8)
        together = sample(model, encoded, [2, 3, 3], settings, uniform)
        assert sample(model, encoded, [2, 3, 3], settings, keys(8, seed=1)) != together
        assert sample(model, encoded, [2, 3, 3], settings, uniform, tokens=1) == together  # a block a prompt
        apart = sample(model, encoded[:2], [2, 1], settings, uniform[:3])
        apart += sample(model, encoded[1:], [2, 3], settings, uniform[3:])
        assert apart == together

    def test_draws_have_the_distribution(self):
        torch.manual_seed(0)
        scores = torch.tensor([2.0, -float("inf"), 0.0, 1.0, -1.0])
        found = choose(scores.expand(20000, -1), torch.from_numpy(draws([(7,)], 20000).numpy()[0]))
        shares = torch.bincount(found, minlength=5) / 20000
        torch.testing.assert_close(shares, scores.softmax(0), rtol=0, atol=0.012)  # 3 standard deviations
        assert shares[1] == 0
        edges = choose(scores.expand(2, -1), torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64))
        assert edges.tolist() == [0, 4]

    @pytest.mark.parametrize("drawn", [False, True])
    def test_placeholders_are_never_said(self, tiny_folder, encoded, drawn):
        """A completion with a placeholder makes the next forward look for a picture that is not there."""
        model, processor = load_model(tiny_folder)
        forbidden = vision_token_ids(processor.tokenizer)
        assert len(forbidden) == len(FAMILIES["Qwen2_5_VL"].VISION_TOKENS)
        head = torch.nn.Linear(model.lm_head.in_features, model.lm_head.out_features)
        with torch.no_grad():
            head.weight.copy_(model.lm_head.weight)
            head.bias.zero_()
            head.bias[forbidden] = 50.0
        model.lm_head = head
        uniform = keys(6) if drawn else None

        def said(settings):
            completions = sample(model.eval(), encoded, [2, 2, 2], settings, uniform)
            return {token for completion in completions for token in completion}

        settings = sampling_for(processor.tokenizer, 6)
        assert not said(settings) & set(forbidden)
        # One step without the ban, to see that the bias works.
        assert said(type(settings)(1, settings.ends)) <= set(forbidden)

    def test_several_responses_of_one_prompt(self, answering, encoded):
        model, processor = answering
        greedy = respond(model, processor, encoded, 28)
        assert [len(texts) for texts in greedy] == [1, 1, 1]
        several = respond(model, processor, encoded, 28, keys(9), temperature=1.2)
        assert [len(texts) for texts in several] == [3, 3, 3]
        assert len({text for texts in several for text in texts}) > 3


def test_a_model_may_have_several_end_tokens(tiny):
    """Qwen2.5-VL ends at <|im_end|>, and at <|endoftext|> too."""
    model, processor = tiny
    tokenizer = processor.tokenizer
    assert sampling_for(tokenizer, 5).ends == sampling_for(tokenizer, 5, model).ends == (tokenizer.eos_token_id,)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    assert set(sampling_for(tokenizer, 5, model).ends) == {tokenizer.eos_token_id, tokenizer.pad_token_id}


class TestEncodeClips:
    def test_one_pass_of_the_tower_for_each_kind(self, tiny, encoded):
        model, _ = tiny
        seen = watch_tower(model)
        image, long, short = encoded
        features = encode_clips(model, [long, image, short])
        patches = {id(prompt): len(prompt.visuals[0].pixels) for prompt in encoded}
        assert seen == [patches[id(image)], patches[id(long)] + patches[id(short)]]
        assert [len(part) for (part,) in features] == [patches[id(prompt)] // 4 for prompt in (long, image, short)]

    @pytest.mark.parametrize("repeats", [[1, 1, 1], [8, 8, 8]])
    def test_sampling_encodes_a_clip_once_however_often_it_is_answered(self, tiny, encoded, repeats):
        model, processor = tiny
        seen = watch_tower(model)
        sample(model, [*encoded, encoded[1]], [*repeats, 1], sampling_for(processor.tokenizer, 3))
        assert sum(seen) == sum(len(prompt.visuals[0].pixels) for prompt in encoded)
        assert len(seen) == 2

    def test_features_in_place_of_pixels_give_the_same_logits(self, tiny, encoded):
        model, _ = tiny
        with torch.no_grad():
            plain = model(**plain_inputs(model, encoded)).logits
            ours = model(**plain_inputs(model, encoded, features=encode_clips(model, encoded))).logits
        mask = plain_inputs(model, encoded)["attention_mask"].bool()
        torch.testing.assert_close(ours[mask], plain[mask], rtol=0, atol=1e-5)
        assert "mm_encoder_outputs" in visual_inputs(model, encoded, encode_clips(model, encoded))
