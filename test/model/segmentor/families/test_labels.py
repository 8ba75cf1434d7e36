"""Labels of each family are those of the post-processing of ``transformers`` on the same input."""

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers.models.beit.image_processing_pil_beit import BeitImageProcessorPil
from transformers.models.eomt.image_processing_pil_eomt import EomtImageProcessorPil
from transformers.models.maskformer.image_processing_pil_maskformer import MaskFormerImageProcessorPil
from transformers.models.oneformer.image_processing_pil_oneformer import OneFormerImageProcessorPil

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.segmentor.registry import load_model
from mpvss_model.semantics import best_labels, best_scores, grid_scores
from test.tiny_families import CLASSES, EOMT_SIDE_PX, FAMILIES, PER_PIXEL, busy_frame

CPU = torch.device("cpu")


@pytest.fixture
def segmentor(family_directory, model_type):
    return load_model(family_directory(model_type), device=CPU).segmentor


def key_frame_labels(key_frame):
    return best_labels(key_frame.mask_logits, key_frame.class_logits, key_frame.padding)


def grid_labels(key_frame):
    """At the masks' size."""
    return grid_scores(key_frame.mask_logits, key_frame.class_logits).argmax(dim=0)


@torch.inference_mode()
@pytest.mark.parametrize("frame_size", [(96, 128), (70, 101)])
@pytest.mark.parametrize("model_type", ["segformer", "upernet", "beit"])
def test_networks_that_classify_pixels(segmentor, frame_size):
    frame = busy_frame(*frame_size)
    key_frame = segmentor.segment(frame, 1.5)
    padding, pixels = segmentor.prepared(frame)
    # All of these families are post-processed alike, and SegFormer's processor needs torchvision.
    outputs, sizes = segmentor.model(pixels), [padding.padded_size]
    (theirs,) = BeitImageProcessorPil().post_process_semantic_segmentation(outputs, target_sizes=sizes)
    assert len(theirs.unique()) > 1
    assert torch.equal(key_frame_labels(key_frame), padding.unpad(theirs).byte())
    assert (key_frame.stamp_s, key_frame.queries.shape) == (1.5, (len(CLASSES), 0)) and key_frame.image is frame


@torch.inference_mode()
@pytest.mark.parametrize("model_type", PER_PIXEL)
def test_confidence_of_pixels_is_the_probability_of_their_class(segmentor):
    key_frame = segmentor.segment(busy_frame(64, 96), 0.0)
    _, pixels = segmentor.prepared(busy_frame(64, 96))
    logits = segmentor.class_logits(segmentor.model, pixels)
    probabilities = F.interpolate(logits, size=(16, 24), mode="bilinear")[0].softmax(dim=0).amax(dim=0)
    scores = grid_scores(key_frame.mask_logits, key_frame.class_logits).amax(dim=0)
    assert torch.allclose(scores, probabilities, atol=1e-5) and probabilities.min() < 0.9
    assert best_scores(key_frame.mask_logits, key_frame.class_logits, key_frame.padding).max() <= 1


@torch.inference_mode()
@pytest.mark.parametrize("model_type", ["dpt"])
def test_dpt_takes_any_shape_and_finds_on_squares_what_transformers_finds(segmentor):
    _, pixels = segmentor.prepared(busy_frame(64, 64))
    logits = segmentor.model(pixels).logits
    assert torch.equal(segmentor.class_logits(segmentor.model, pixels), logits)
    theirs = F.interpolate(logits, size=(16, 16), mode="bilinear").argmax(dim=1)[0]
    assert torch.equal(grid_labels(segmentor.segment(busy_frame(64, 64), 0.0)), theirs) and len(theirs.unique()) > 1
    assert key_frame_labels(segmentor.segment(busy_frame(70, 101), 0.0)).shape == (70, 101)


@torch.inference_mode()
@pytest.mark.parametrize("model_type", ["maskformer", "oneformer"])
def test_networks_that_classify_queries(segmentor, model_type):
    frame = busy_frame(70, 101)
    key_frame = segmentor.segment(frame, 0.0)
    _, pixels = segmentor.prepared(frame)
    if model_type == "maskformer":
        outputs, processor = segmentor.model(pixels), MaskFormerImageProcessorPil()
        head = segmentor.model.class_predictor
    else:
        tokens = torch.tensor([[49406, 518, 10549, 533, 29119, 1550, 49407] + 70 * [0]])  # "the task is semantic" for CLIP
        outputs, processor = segmentor.model(pixels, tokens), OneFormerImageProcessorPil()
        head = segmentor.model.model.transformer_module.decoder.class_embed
    (theirs,) = processor.post_process_semantic_segmentation(outputs)
    assert torch.equal(grid_labels(key_frame), theirs) and len(theirs.unique()) > 1
    assert torch.equal(key_frame.mask_logits, outputs.masks_queries_logits[0])
    assert torch.equal(key_frame.class_logits, outputs.class_queries_logits[0])
    assert torch.allclose(head(key_frame.queries), key_frame.class_logits, atol=1e-4), "queries are what the class head reads"


@torch.inference_mode()
@pytest.mark.parametrize("model_type", ["eomt", "eomt_dinov3"])
def test_a_square_of_an_eomt(segmentor):
    frame = busy_frame(EOMT_SIDE_PX, EOMT_SIDE_PX)
    key_frame = segmentor.segment(frame, 0.0)
    outputs = segmentor.model(segmentor.prepared(frame)[1])
    size = {"shortest_edge": 16, "longest_edge": None}  # that of the masks
    (theirs,) = EomtImageProcessorPil().post_process_semantic_segmentation(outputs, target_sizes=[(16, 16)], size=size)
    assert torch.equal(grid_labels(key_frame), theirs) and len(theirs.unique()) > 1
    assert torch.equal(segmentor.model.class_predictor(key_frame.queries), key_frame.class_logits)


@torch.inference_mode()
@pytest.mark.parametrize("frame_size", [(64, 96), (160, 64), (64, 128)])
@pytest.mark.parametrize("model_type", ["eomt", "eomt_dinov3"])
def test_squares_of_an_eomt_are_merged(family_directory, model_type, frame_size, tmp_path):
    """As the image processor merges them, at the size of the masks."""
    segmentor = type(load_model(family_directory(model_type), device=CPU).segmentor).from_pretrained(
        split_copy(family_directory(model_type), tmp_path), device=CPU
    )
    frame = busy_frame(*frame_size)
    key_frame = segmentor.segment(frame, 0.0)
    processor = EomtImageProcessorPil(do_split_image=True, size={"shortest_edge": EOMT_SIDE_PX, "longest_edge": None})
    inputs = processor(frame, return_tensors="pt")
    outputs = segmentor.model(inputs["pixel_values"])
    assert len(inputs["patch_offsets"]) > 1
    outputs.patch_offsets = [(image, start // 4, end // 4) for image, start, end in np.array(inputs["patch_offsets"]).tolist()]
    (theirs,) = processor.post_process_semantic_segmentation(
        outputs, target_sizes=[tuple(side // 4 for side in frame_size)], size={"shortest_edge": 16, "longest_edge": None}
    )
    assert torch.equal(key_frame.mask_logits.argmax(dim=0), theirs) and len(theirs.unique()) > 1
    assert key_frame.queries.shape == (len(CLASSES), 0)


@torch.inference_mode()
@pytest.mark.parametrize("model_type", ["eomt"])
def test_a_frame_of_another_size_than_an_eomts_squares(segmentor):
    """What is found in the square is brought to the frame's own masks."""
    small = busy_frame(32, 64)
    large = small.repeat(4, axis=0).repeat(4, axis=1)
    masks = [segmentor.segment(frame, 0.0).mask_logits for frame in (small, large)]
    assert masks[0].shape == (7, 8, 16) and masks[1].shape == (7, 32, 64)
    expected = F.interpolate(masks[0].unsqueeze(0), scale_factor=4, mode="bilinear")[0]
    assert torch.allclose(masks[1][:, :-2], expected[:, :-2], atol=1e-3), "all but the last rows, which the padding is beside"


def split_copy(directory, folder) -> str:
    """A model like one in a directory, whose image processor splits images."""
    copy = folder / "split"
    shutil.copytree(directory, copy)
    size = {"shortest_edge": EOMT_SIDE_PX, "longest_edge": None}
    (copy / "preprocessor_config.json").write_text(json.dumps({"do_split_image": True, "size": size}))
    return str(copy)


@pytest.mark.parametrize(
    ("model_type", "history_weight"), [*((name, 0.0) for name in FAMILIES), ("segformer", 0.5), ("maskformer", 0.5)]
)
def test_a_stream(family_directory, model_type, history_weight):
    """A still camera sees the same on all frames; key frames have the segmentor's labels."""
    config = StreamConfig(max_interval_frames=3, history_weight=history_weight, query_tolerance=0.0)
    stream = VideoSegmentor.from_pretrained(family_directory(model_type), device="cpu", propagation="tracked", config=config)
    frame = busy_frame(64, 96)
    answers = [stream.step(frame.copy(), i / 10) for i in range(5)]
    assert [answer.is_key_frame for answer in answers] == [True, False, False, True, False]
    labels = [answer.labels for answer in answers]
    expected = key_frame_labels(stream.segmentor.segment(frame, 0.0)).numpy()
    assert np.array_equal(labels[0], expected)
    assert all((other == expected).mean() > 0.97 for other in labels[1:])
    assert stream.class_names == CLASSES and 0 < answers[1].confidence.max() <= 1


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_half_precision_is_no_obstacle(segmentor):
    frame = busy_frame(64, 96)
    exact = key_frame_labels(segmentor.segment(frame, 0.0))
    segmentor.accelerate(torch.bfloat16)
    assert segmentor.dtype == "bfloat16"
    assert (key_frame_labels(segmentor.segment(frame, 0.0)) == exact).float().mean() > 0.8


@torch.inference_mode()
@pytest.mark.parametrize("model_type", ["oneformer"])
def test_half_precision_does_not_change_the_task(segmentor):
    """Numbers of words go up to 49407, of which half precision keeps the first digits, if any."""
    task = segmentor.model.model.task_encoder
    expected = task(segmentor._tokens.float())
    segmentor.accelerate(torch.bfloat16)
    assert torch.equal(segmentor.model.model.task_encoder(None), expected.bfloat16())
    assert not torch.equal(task(segmentor._tokens.bfloat16()), expected.bfloat16())


@pytest.mark.parametrize("model_type", FAMILIES)
def test_what_a_key_frame_costs(segmentor, model_type):
    cost = segmentor.cost((64, 96))
    assert sum(part.parameters for part in cost.parts.values()) == segmentor.num_parameters
    assert all(part.gflops > 0 and part.runs_on == "key" for part in cost.parts.values())
    assert cost.num_queries == len(segmentor.segment(busy_frame(64, 96), 0.0).mask_logits)
    if model_type in PER_PIXEL:  # each pixel of the class logits is at least a product of the classifier's
        assert cost.parts["head"].gflops > 16 * 24 * len(CLASSES) * 8 / 1e9
