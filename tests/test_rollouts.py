import pytest
import torch
from transformers import GenerationConfig

from vqa_lib.models.dialogue import batch
from vqa_lib.models.loading import load_model
from vqa_lib.models.rollouts import (
    VISION_TOKENS,
    core,
    encode_clips,
    sample_completions,
    vision_token_ids,
    visual_inputs,
)


@pytest.fixture(scope="module")
def answering(answering_folder):
    """A model whose completions end at different lengths; no test here changes its weights."""
    model, processor = load_model(answering_folder)
    return model.eval(), processor


def generation(processor, **settings) -> GenerationConfig:
    tokenizer = processor.tokenizer
    return GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{"max_new_tokens": 28, "do_sample": False, "suppress_tokens": vision_token_ids(tokenizer), **settings},
    )


def watch_tower(model) -> list[int]:
    """The number of patches in each pass of the vision tower, as they happen."""
    seen = []
    core(model).visual.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    return seen


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
        settings = generation(processor)
        ours = sample_completions(model, prompts, repeats, settings)
        rows = [prompt for prompt, count in zip(prompts, repeats, strict=True) for _ in range(count)]
        inputs = batch(rows, settings.pad_token_id)
        tokens = model.generate(**inputs, generation_config=settings)[:, inputs["input_ids"].size(1) :].tolist()
        end = settings.eos_token_id
        plain = [row[: row.index(end) + 1] if end in row else row for row in tokens]
        assert ours == plain
        assert all(completion[-1] == end or len(completion) == settings.max_new_tokens for completion in ours)

    def test_equals_plain_generate_of_each_prompt_alone(self, answering, encoded):
        model, processor = answering
        settings = generation(processor)
        together = sample_completions(model, encoded, [1, 1, 1], settings)
        assert together == [sample_completions(model, [prompt], [1], settings)[0] for prompt in encoded]
        assert len({tuple(completion) for completion in together}) > 1  # the prompts do matter

    def test_a_second_call_is_not_shifted_by_the_first(self, answering, encoded):
        # Qwen keeps the offset between positions and tokens in the model: a stale one would shift the next batch.
        model, processor = answering
        settings = generation(processor)
        first = sample_completions(model, encoded[1:], [2, 1], settings)
        sample_completions(model, encoded[:1], [5], settings)
        assert sample_completions(model, encoded[1:], [2, 1], settings) == first
        with torch.no_grad():
            before = load_model(model.config._name_or_path)[0].eval()(**batch(encoded, 0)).logits
            torch.testing.assert_close(model(**batch(encoded, 0)).logits, before, rtol=0, atol=1e-5)

    def test_features_may_be_handed_in(self, answering, encoded):
        model, processor = answering
        features = encode_clips(model, encoded)
        seen = watch_tower(model)
        given = sample_completions(model, encoded, [1, 2, 1], generation(processor), features)
        assert seen == []
        assert given == sample_completions(model, encoded, [1, 2, 1], generation(processor))


class TestSampling:
    def test_varies_and_follows_the_seed(self, answering, encoded):
        model, processor = answering
        settings = generation(processor, do_sample=True, top_k=0)

        def sample(seed):
            torch.manual_seed(seed)
            return sample_completions(model, encoded, [2, 3, 3], settings)

        first = sample(0)
        assert len(first) == 8
        assert sample(0) == first != sample(1)
        assert len({tuple(completion) for completion in first}) > 4

    @pytest.mark.parametrize("do_sample", [False, True])
    def test_placeholders_are_never_said(self, tiny_folder, encoded, do_sample):
        """A completion with a placeholder makes the next forward look for a picture that is not there."""
        model, processor = load_model(tiny_folder)
        forbidden = vision_token_ids(processor.tokenizer)
        assert len(forbidden) == len(VISION_TOKENS)
        head = torch.nn.Linear(model.lm_head.in_features, model.lm_head.out_features)
        with torch.no_grad():
            head.weight.copy_(model.lm_head.weight)
            head.bias.zero_()
            head.bias[forbidden] = 50.0
        model.lm_head = head

        def said(settings):
            completions = sample_completions(model.eval(), encoded, [2, 2, 2], settings)
            return {token for completion in completions for token in completion}

        settings = {"do_sample": do_sample, "top_k": 0, "max_new_tokens": 6} if do_sample else {"max_new_tokens": 6}
        assert not said(generation(processor, **settings)) & set(forbidden)
        # One step without the suppression, to see that the bias works; two would already break the model's forward.
        settings["max_new_tokens"] = 1
        assert said(generation(processor, **settings, suppress_tokens=None)) <= set(forbidden)


class TestEncodeClips:
    def test_one_pass_of_the_tower_for_each_kind(self, tiny, encoded):
        model, _ = tiny
        seen = watch_tower(model)
        image, long, short = encoded
        features = encode_clips(model, [long, image, short])
        assert seen == [len(image.pixels), len(long.pixels) + len(short.pixels)]
        assert [len(part) for part in features] == [len(prompt.pixels) // 4 for prompt in (long, image, short)]

    @pytest.mark.parametrize("repeats", [[1, 1, 1], [8, 8, 8]])
    def test_sampling_encodes_a_clip_once_however_often_it_is_answered(self, tiny, encoded, repeats):
        model, processor = tiny
        seen = watch_tower(model)
        sample_completions(model, encoded, repeats, generation(processor, max_new_tokens=3))
        assert sum(seen) == sum(len(prompt.pixels) for prompt in encoded)
        assert len(seen) == 2

    def test_features_in_place_of_pixels_give_the_same_logits(self, tiny, encoded):
        model, _ = tiny
        inputs = batch(encoded, 0)
        text = {name: inputs[name] for name in ("input_ids", "attention_mask", "mm_token_type_ids")}
        with torch.no_grad():
            plain = model(**inputs).logits
            ours = model(**text, **visual_inputs(encoded, encode_clips(model, encoded))).logits
        mask = inputs["attention_mask"].bool()
        torch.testing.assert_close(ours[mask], plain[mask], rtol=0, atol=1e-5)
