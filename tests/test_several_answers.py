"""Several answers for one video: combined as numpy does, and the score expected from digits as by brute force."""

import numpy as np
import pytest
import torch

from vqa_lib.metrics import srcc
from vqa_lib.models.families import encode
from vqa_lib.models.loading import load_model
from vqa_lib.models.reference import plain_inputs
from vqa_lib.records import Scale
from vqa_lib.several_answers import expected_scores, gains_over_one, scaling

FIVE = Scale(1, 5)


@pytest.fixture(scope="module", params=["tiny_folder", "tiny_internvl_folder", "tiny_motion_folder"])
def model(request):
    return load_model(request.getfixturevalue(request.param))


def chance_of_digits(model, processor, prompt, text):
    """Brute force: the model reads the prompt and the text, and says how likely each digit is next."""
    ids = processor.tokenizer(text)["input_ids"]
    with torch.no_grad():
        logits = model(**plain_inputs(model, [prompt], [ids])).logits[0, -1]
    return logits[processor.tokenizer.convert_tokens_to_ids(list("0123456789"))].float().softmax(-1)


def test_digits_are_replaced_by_their_expectation(model, make_frames):
    prompts = [encode(model[1], [(make_frames(4, width=56), "video")], text) for text in ("Rate it.", "Rate it now.")]
    responses = ["<answer>3.27</answer>", "<think>it has 4 flaws</think> <answer> 5 </answer>"]
    first, second = expected_scores(*model, prompts, responses, FIVE)
    ones = chance_of_digits(*model, prompts[0], "<answer>")[1:6]
    expected = float(ones @ torch.arange(1.0, 6)) / float(ones.sum())
    for text, worth in (("<answer>3.", 0.1), ("<answer>3.2", 0.01)):
        expected += worth * float(chance_of_digits(*model, prompts[0], text) @ torch.arange(10.0))
    assert first == pytest.approx(min(expected, 5.0), abs=1e-4)
    ones = chance_of_digits(*model, prompts[1], "<think>it has 4 flaws</think> <answer> ")[1:6]
    assert second == pytest.approx(float(ones @ torch.arange(1.0, 6)) / float(ones.sum()), abs=1e-4)


def test_what_cannot_be_read_has_no_expectation(model, make_frames):
    prompt = encode(model[1], [(make_frames(4, width=56), "video")], "Rate it.")
    responses = ["<answer>good</answer>", "3", "<answer>3.271</answer>", "<answer>7</answer>"]
    assert expected_scores(*model, [prompt] * 4, responses, FIVE) == [None] * 4
    with pytest.raises(ValueError, match="within 0 to 9"):
        expected_scores(*model, [prompt], ["<answer>3</answer>"], Scale(0, 100))


def test_means_and_medians_of_the_first_samples():
    random = np.random.default_rng(0)
    targets = random.uniform(1, 5, 30)
    samples = [[float(target + noise) for noise in random.normal(0, 1, 8)] for target in targets]
    samples[0] = [None] * 8
    samples[1][0] = None
    table = scaling(samples, targets, (1, 4, 8)).set_index(["combined", "samples"])
    assert table.loc[("mean", 1), "n"] == 28 and table.loc[("mean", 1), "unparsed"] == 2
    assert table.loc[("mean", 8), "n"] == 29 and table.loc[("mean", 8), "unparsed"] == 9
    medians = [None, float(np.median(samples[1][1:4]))] + [float(np.median(row[:4])) for row in samples[2:]]
    assert table.loc[("median", 4), "value"] == pytest.approx(srcc(medians, targets).value)
    assert table.loc[("mean", 8), "value"] > table.loc[("mean", 1), "value"]
    assert scaling(samples[:1], targets[:1], (8,))["reason"].str.len().gt(0).all()  # of one video
    with pytest.raises(ValueError, match="counts must be 1 to 8, got 9"):
        scaling(samples, targets, (9,))


def test_several_answers_are_compared_with_one_on_the_same_videos():
    random = np.random.default_rng(1)
    targets = random.uniform(1, 5, 40)
    samples = [[float(target + noise) for noise in random.normal(0, 1, 8)] for target in targets]
    single = [float(target + noise) for target, noise in zip(targets, random.normal(0, 1, 40), strict=True)]
    samples[0], single[1] = [None] * 8, float("nan")  # as it comes from a table
    gains = gains_over_one(samples, single, targets, (1, 8)).set_index(["combined", "samples"])
    assert set(gains["n"]) == {38}
    means = [float(np.mean(row)) for row in samples[2:]]
    whole, one = srcc(means, targets[2:]).value, srcc(single[2:], targets[2:]).value
    assert gains.loc[("mean", 8), "difference"] == pytest.approx(whole - one)
    assert gains.loc[("mean", 8), "low"] > 0 > gains.loc[("mean", 1), "low"]
    with pytest.raises(ValueError, match="counts must be 1 to 8, got 0"):
        gains_over_one(samples, single, targets, (0,))
