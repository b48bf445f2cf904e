import numpy as np
import pytest
import torch

from vqa_lib.models.dialogue import messages
from vqa_lib.models.families import encode, family, prompt_positions, visual_inputs
from vqa_lib.models.loading import load_model
from vqa_lib.models.qwen import grids
from vqa_lib.models.reference import plain_inputs, text_inputs
from vqa_lib.video import FramePolicy, read_image


def temporal_ids(model, prompt) -> list[int]:
    """The time part of mRoPE's positions, one value for each temporal patch of the clip."""
    times = prompt_positions(model, prompt)[0][prompt.token_types > 0]
    return times.reshape(int(prompt.visuals[0].grid[0, 0]), -1)[:, 0].tolist()


class TestTime:
    @pytest.mark.parametrize(
        ("count", "total", "fps", "seconds"),
        [
            (8, 240, 30.0, 2.0),  # 8 frames of 8 seconds: one a second, two in a temporal patch
            (8, 60, 30.0, 0.5),
            (4, 15, 7.5, 1.0),  # the miniatures: 4 of their 2 seconds
            (6, 60, 30.0, 2 / 3),
            (8, 250, 25.0, 2.5),  # the rate is the file's, not an assumed 24
        ],
    )
    def test_true_time_stamps_reach_the_model(self, tiny, make_frames, count, total, fps, seconds):
        _, processor = tiny
        prompt = encode(processor, [(make_frames(count, total, fps), "video")], "Rate it.")
        sampled_fps = count / total * fps
        assert prompt.visuals[0].seconds_per_grid == pytest.approx(
            processor.video_processor.temporal_patch_size / sampled_fps
        )
        assert prompt.visuals[0].seconds_per_grid == pytest.approx(seconds)

    @pytest.mark.parametrize(
        ("total", "fps", "expected"),
        [
            (240, 30.0, [0, 4, 8, 12]),  # two positions a second, patches two seconds apart
            (480, 30.0, [0, 8, 16, 24]),  # half as dense: twice as far apart
            (60, 30.0, [0, 1, 2, 3]),
        ],
    )
    def test_positions_follow_real_time(self, tiny, make_frames, total, fps, expected):
        model, processor = tiny
        found = temporal_ids(model, encode(processor, [(make_frames(8, total, fps), "video")], "Rate it."))
        assert [time - found[0] for time in found] == expected

    def test_an_image_stands_at_one_time(self, tiny, make_frames):
        model, processor = tiny
        prompt = encode(processor, [(make_frames(1, 1, 1.0), "image")], "Rate it.")
        assert prompt.visuals[0].seconds_per_grid == 0
        assert len(temporal_ids(model, prompt)) == 1


class TestEncode:
    def test_shapes(self, encoded):
        image, long, _ = encoded
        assert [int(prompt.visuals[0].grid[0, 0]) for prompt in encoded] == [1, 4, 3]  # two frames in a temporal patch
        for prompt in encoded:
            patches = int(prompt.visuals[0].grid.prod())
            assert prompt.visuals[0].pixels.shape == (patches, 3 * 2 * 14 * 14)
            assert int((prompt.token_types > 0).sum()) == patches // 4  # 2 x 2 patches are one token
            assert prompt.token_types.shape == prompt.ids.shape
        assert tuple(prompt.visuals[0].kind for prompt in encoded) == ("image", "video", "video")
        assert set(image.token_types.tolist()) == {0, 1}
        assert set(long.token_types.tolist()) == {0, 2}

    def test_the_clip_comes_before_the_question(self, tiny, encoded):
        _, processor = tiny
        text = processor.tokenizer.decode(encoded[2].ids)
        assert text.index("<|vision_start|>") < text.index("<|video_pad|>") < text.index("Rate it.")
        assert text.endswith("<|im_start|>assistant\n")

    def test_pixels_are_those_of_the_frames(self, tiny, make_frames):
        _, processor = tiny
        frames = make_frames(4)
        black = type(frames)(np.zeros_like(frames.pixels), frames.indices, frames.total, frames.fps, frames.seconds)
        assert encode(processor, [(black, "video")], "Rate it.").visuals[0].pixels.std(0).max() == 0
        assert encode(processor, [(frames, "video")], "Rate it.").visuals[0].pixels.std() > 0.5

    def test_a_fresh_image_can_be_encoded(self, tiny, images):
        # Not through the cache: an array that views the file is read-only, and torch warns of those.
        _, processor = tiny
        frames = read_image(images[0].path, FramePolicy(count=1))
        assert encode(processor, [(frames, "image")], "Rate it.").visuals[0].grid.tolist() == [[1, 6, 8]]

    def test_equals_the_processor_on_a_whole_batch(self, tiny, make_frames):
        """Encoding clip by clip is an economy of ours; it must not change what the processor makes of a batch."""
        model, processor = tiny
        clips = [make_frames(8), make_frames(6)]
        texts = ["Rate the quality of the video from 0 to 100.", "Rate it."]
        dialogues = [
            processor.apply_chat_template(messages(["video"], text), add_generation_prompt=True, tokenize=False)
            for text in texts
        ]
        together = processor(
            text=dialogues,
            videos=[torch.from_numpy(clip.pixels).permute(0, 3, 1, 2) for clip in clips],
            video_metadata=[clip.metadata for clip in clips],
            do_sample_frames=False,
            padding=True,
            return_tensors="pt",
        )
        single = [encode(processor, [(clip, "video")], text) for clip, text in zip(clips, texts, strict=True)]
        ours = plain_inputs(model, single)
        for name in ("input_ids", "attention_mask", "mm_token_type_ids", "video_grid_thw", "pixel_values_videos"):
            torch.testing.assert_close(ours[name], together[name], rtol=0, atol=0)
        seconds = torch.as_tensor(together["second_per_grid_ts"]).flatten().to(torch.float32)
        torch.testing.assert_close(ours["second_per_grid_ts"], seconds)


class TestBatch:
    def test_prompts_end_together(self, encoded):
        lengths = [len(prompt.ids) for prompt in encoded]
        assert len(set(lengths)) == 3  # else there is nothing to pad
        inputs = text_inputs(encoded, pad_id=0)
        for row, prompt in enumerate(encoded):
            free = max(lengths) - len(prompt.ids)
            assert inputs["input_ids"][row].tolist() == [0] * free + prompt.ids.tolist()
            assert inputs["attention_mask"][row].tolist() == [0] * free + [1] * len(prompt.ids)
            assert inputs["mm_token_type_ids"][row].tolist() == [0] * free + prompt.token_types.tolist()

    def test_completions_begin_together(self, encoded):
        width = max(len(prompt.ids) for prompt in encoded)
        inputs = text_inputs(encoded, 0, completions=[[5, 6, 7], [8], [9, 9]])
        assert inputs["input_ids"][:, width:].tolist() == [[5, 6, 7], [8, 0, 0], [9, 9, 0]]
        assert inputs["attention_mask"][:, width:].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
        assert inputs["mm_token_type_ids"][:, width:].sum() == 0
        torch.testing.assert_close(inputs["input_ids"][:, :width], text_inputs(encoded, 0)["input_ids"])

    def test_pictures_keep_the_order_of_their_rows(self, tiny, encoded):
        image, long, short = encoded
        inputs = visual_inputs(tiny[0], [long, image, short, image])
        (still,), (first,), (second,) = (prompt.visuals for prompt in (image, long, short))
        torch.testing.assert_close(inputs["pixel_values"], torch.cat([still.pixels, still.pixels]))
        torch.testing.assert_close(inputs["pixel_values_videos"], torch.cat([first.pixels, second.pixels]))
        assert inputs["image_grid_thw"].tolist() == still.grid.tolist() * 2
        assert inputs["video_grid_thw"].tolist() == [*first.grid.tolist(), *second.grid.tolist()]
        assert inputs["second_per_grid_ts"].tolist() == pytest.approx([first.seconds_per_grid, second.seconds_per_grid])

    def test_a_kind_that_is_absent_leaves_no_argument(self, tiny, encoded):
        assert set(visual_inputs(tiny[0], encoded[:1])) == {"pixel_values", "image_grid_thw"}
        assert set(grids(list(encoded[1].visuals))) == {"video_grid_thw", "second_per_grid_ts"}

    def test_padding_does_not_change_what_the_model_says(self, tiny, encoded):
        model, _ = tiny
        with torch.no_grad():
            together = model(**plain_inputs(model, encoded)).logits[:, -1]
            alone = torch.cat([model(**plain_inputs(model, [prompt])).logits[:, -1] for prompt in encoded])
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


class TestSeveralVisuals:
    def test_qwen_takes_them_in_order(self, tiny, make_frames):
        _, processor = tiny
        shown = [(make_frames(4, height=56), "video"), (make_frames(1), "image"), (make_frames(6, fps=15.0), "video")]
        prompt = encode(processor, shown, "Which is best?")
        assert [visual.kind for visual in prompt.visuals] == ["video", "image", "video"]
        assert [int(visual.grid[0, 0]) for visual in prompt.visuals] == [2, 1, 3]
        alone = [encode(processor, [visual], "Which is best?").visuals[0] for visual in shown]
        for together, single in zip(prompt.visuals, alone, strict=True):
            torch.testing.assert_close(together.pixels, single.pixels, rtol=0, atol=0)
            assert together.seconds_per_grid == single.seconds_per_grid
        kinds = [kind for kind in prompt.token_types.tolist() if kind]
        sizes = [len(visual.pixels) // 4 for visual in prompt.visuals]
        assert kinds == [2] * sizes[0] + [1] * sizes[1] + [2] * sizes[2]

    def test_internvl_equals_its_processor(self, tiny_internvl_folder, make_frames):
        _, processor = load_model(tiny_internvl_folder)
        frames = make_frames(4)
        prompt = encode(processor, [(frames, "video")], "Rate it.")
        dialogue = processor.apply_chat_template(
            messages(["video"], "Rate it."), add_generation_prompt=True, tokenize=False
        )
        video = torch.from_numpy(frames.pixels).permute(0, 3, 1, 2)
        whole = processor(text=[dialogue], videos=[video], do_sample_frames=False, return_tensors="pt")
        assert prompt.ids.tolist() == whole["input_ids"][0].tolist()
        torch.testing.assert_close(prompt.visuals[0].pixels, whole["pixel_values"], rtol=0, atol=0)

    def test_internvl_takes_videos_of_unequal_length(self, tiny_internvl_folder, make_frames):
        _, processor = load_model(tiny_internvl_folder)
        prompt = encode(
            processor, [(make_frames(4), "video"), (make_frames(1), "image"), (make_frames(2), "video")], "?"
        )
        assert [len(visual.pixels) for visual in prompt.visuals] == [4, 1, 2]  # an image is one tile
        assert int((prompt.token_types > 0).sum()) == 7 * processor.image_seq_length
        text = processor.tokenizer.decode(prompt.ids)
        assert text.count("Frame4:") == 1
        assert text.count("Frame2:") == 2

    def test_another_family_is_refused(self):
        with pytest.raises(ValueError, match=r"Linear: expected a Qwen2\.5-VL or InternVL model"):
            family(torch.nn.Linear(1, 1))
