"""What models of the hub cost per key frame, for docs/models.md.

    python -m benchmarks.hub_models
    OMP_NUM_THREADS=1 python -m benchmarks.hub_models --time segformer-b0 eomt_small videomt-dinov2-small
    python -m benchmarks.hub_models --run

Networks have the sizes of the checkpoints, and random weights, which cost as much as trained ones. The first call counts
multiply-adds and prints a table in Markdown; the second measures processor time of one thread on noise, the network alone. The
third writes each as a checkpoint with an image processor and has frames of a camera labelled by it: a key frame, one that its
masks are carried to, and another key frame.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers
from torch import nn

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.checkpoints.mpvss_model import paper_config
from mpvss_model.config import FRAME_SIZE
from mpvss_model.evaluation.flops import loaded_cost
from mpvss_model.runtime.device import processor_name
from mpvss_model.runtime.flop_count import count_parameters, counted, meta_tensor, total_gflops
from mpvss_model.segmentor.config_file import read_config, recommended_inference_size
from mpvss_model.segmentor.network_files import quiet
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.segmentor.videomt.network import segment_frame

CAMERA_SIZE = (480, 640)
SHIPPED_MODELS = ("rooms", "rooms-lite")
TOKENS_OF_A_TASK = 77
# Of each Swin: width, layers and heads by stage, window.
SWINS = {
    "tiny": (96, (2, 2, 6, 2), (3, 6, 12, 24), 7),
    "small": (96, (2, 2, 18, 2), (3, 6, 12, 24), 7),
    "base": (128, (2, 2, 18, 2), (4, 8, 16, 32), 12),
    "large": (192, (2, 2, 18, 2), (6, 12, 24, 48), 12),
}
# Of each SegFormer: layers and channels by stage, channels of the decoder.
SEGFORMERS = {
    "b0": ((2, 2, 2, 2), (32, 64, 160, 256), 256),
    "b1": ((2, 2, 2, 2), (64, 128, 320, 512), 256),
    "b2": ((3, 4, 6, 3), (64, 128, 320, 512), 768),
    "b3": ((3, 4, 18, 3), (64, 128, 320, 512), 768),
    "b4": ((3, 8, 27, 3), (64, 128, 320, 512), 768),
    "b5": ((3, 6, 40, 3), (64, 128, 320, 512), 768),
}
# Of each vision transformer: channels, layers, heads, layers that see the queries.
TRANSFORMERS = {"small": (384, 12, 6, 3), "base": (768, 12, 12, 3), "large": (1024, 24, 16, 4)}
STAGES = ["stage1", "stage2", "stage3", "stage4"]


@dataclass(frozen=True)
class HubModel:
    """A checkpoint of the hub.

    Attributes:
        family: Its ``model_type``.
        hub_id: Where it is.
        classes: How many it tells apart.
        size: Height and width of the network's input.
        build: Makes the network.
    """

    family: str
    hub_id: str
    classes: int
    size: tuple[int, int]
    build: Callable[[], nn.Module]

    @property
    def is_split(self) -> bool:
        """Whether its processor splits an image into squares: EoMT's, where it was trained for classes alone."""
        return self.family == "eomt" and "semantic" in self.hub_id

    def run(self, network: nn.Module, pixels: torch.Tensor) -> object:
        """A key frame ``[1, 3, H, W]``; of a segmentor with a memory, one that comes after another."""
        if self.family == "videomt":
            memory = pixels.new_zeros(network.config.num_queries, network.config.hidden_size)
            return segment_frame(network, pixels, memory)
        if self.family == "oneformer":
            return network(pixels, torch.zeros(1, TOKENS_OF_A_TASK, device=pixels.device))
        return network(pixels)

    def cost(self) -> tuple[float, int]:
        """Multiply-adds in 1e9, and learned numbers."""
        # OneFormer looks at values on its way, and has to be run.
        device = "cpu" if self.family == "oneformer" else "meta"
        with quiet(), torch.device(device):
            network = self.build().to(device)
        network = attending_everywhere(network.eval().requires_grad_(False))
        pixels = torch.zeros(1, 3, *self.size) if device == "cpu" else meta_tensor(1, 3, *self.size)
        return total_gflops(counted(partial(self.run, network), pixels)), count_parameters(network)

    def processor_s(self, repeats: int) -> float:
        """Median processor time of a key frame, after one that does not count."""
        with quiet():
            network = attending_everywhere(self.build().eval())
        pixels, times = torch.randn(1, 3, *self.size), []
        with torch.inference_mode():
            for _ in range(repeats + 1):
                started_s = time.process_time()
                self.run(network, pixels)
                times.append(time.process_time() - started_s)
        return statistics.median(times[1:])

    def checkpoint(self, folder: Path) -> None:
        """Write it with random weights, and what the checkpoint's processor says of sizes."""
        with quiet():
            self.build().save_pretrained(folder)
        height, width = self.size
        # Frames of a camera's size are taken as they come.
        settings = {} if self.size == CAMERA_SIZE else {"size": {"height": height, "width": width}}
        if self.is_split:
            settings = {"size": {"shortest_edge": height, "longest_edge": None}, "do_split_image": True}
        (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")

    def labelled_s(self) -> float:
        """Seconds that a key frame of a camera takes: the second of three frames' two, with a carried one in between.

        Raises:
            RuntimeError: If a frame was not answered as it should be.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.checkpoint(Path(folder))
            segmentor = VideoSegmentor.from_pretrained(folder, device="cpu", config=StreamConfig(max_interval_frames=2))
            frame = np.random.default_rng(0).integers(0, 255, (*CAMERA_SIZE, 3), np.uint8)
            for i, is_key_frame in enumerate((True, False, True)):
                started_s = time.perf_counter()
                result = segmentor.step(frame, stamp_ns=i * 66_666_667)
                if (result.is_key_frame, result.labels.shape) != (is_key_frame, CAMERA_SIZE) or result.fault:
                    raise RuntimeError(f"{self.hub_id}: frame {i} was not labelled: {result.fault}")
            return time.perf_counter() - started_s


def hub_models() -> list[HubModel]:
    """One or more of each family."""
    return [
        *(
            HubModel(
                "mask2former",
                f"facebook/mask2former-swin-{name}-cityscapes-semantic",
                19,
                CAMERA_SIZE,
                partial(mask2former, size),
            )
            for name, size in (("tiny", "t"), ("small", "s"), ("base-IN21k", "b"), ("large", "l"))
        ),
        HubModel("eomt", "tue-mps/coco_panoptic_eomt_small_640_2x", 133, (640, 640), partial(eomt, "small", 640, 133)),
        HubModel("eomt", "tue-mps/coco_panoptic_eomt_base_640_2x", 133, (640, 640), partial(eomt, "base", 640, 133)),
        HubModel("eomt", "tue-mps/coco_panoptic_eomt_large_640", 133, (640, 640), partial(eomt, "large", 640, 133)),
        HubModel("eomt", "tue-mps/ade20k_semantic_eomt_large_512", 150, (512, 512), partial(eomt, "large", 512, 150, 100)),
        HubModel(
            "eomt", "tue-mps/cityscapes_semantic_eomt_large_1024", 19, (1024, 1024), partial(eomt, "large", 1024, 19, 100)
        ),
        HubModel("eomt_dinov3", "tue-mps/coco_panoptic_eomt_large_640_dinov3", 133, (640, 640), eomt_dinov3),
        HubModel("oneformer", "shi-labs/oneformer_ade20k_swin_tiny", 150, CAMERA_SIZE, oneformer),
        HubModel("maskformer", "facebook/maskformer-swin-base-ade", 150, CAMERA_SIZE, maskformer),
        *(
            HubModel(
                "segformer",
                f"nvidia/segformer-{size}-finetuned-cityscapes-1024-1024",
                19,
                CAMERA_SIZE,
                partial(segformer, size),
            )
            for size in SEGFORMERS
        ),
        HubModel("upernet", "openmmlab/upernet-convnext-tiny", 150, CAMERA_SIZE, upernet),
        HubModel("dpt", "Intel/dpt-large-ade", 150, (480, 480), dpt),
        HubModel("beit", "microsoft/beit-base-finetuned-ade-640-640", 150, (640, 640), beit),
        HubModel("videomt", "tue-mps/videomt-dinov2-small-ytvis2019", 40, (640, 640), partial(videomt, "small", 640, 40)),
        HubModel("videomt", "tue-mps/videomt-dinov2-base-ytvis2019", 40, (640, 640), partial(videomt, "base", 640, 40)),
        HubModel("videomt", "tue-mps/videomt-dinov2-large-ytvis2021", 40, (640, 640), partial(videomt, "large", 640, 40)),
        HubModel("videomt", "tue-mps/videomt-dinov2-large-vspw", 124, (1280, 1280), partial(videomt, "large", 1280, 124)),
    ]


def mask2former(size: str) -> nn.Module:
    """With one of the paper's Swin Transformers, of Cityscapes' classes."""
    return transformers.Mask2FormerForUniversalSegmentation(paper_config(f"swin-{size}", 19).segmentor)


def eomt(size: str, image_size: int, classes: int, queries: int = 200) -> nn.Module:
    """On DINOv2, of one of the sizes of `TRANSFORMERS`, for square images."""
    width, layers, heads, blocks = TRANSFORMERS[size]
    return transformers.EomtForUniversalSegmentation(
        transformers.EomtConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_blocks=blocks,
            num_queries=queries,
            image_size=image_size,
            num_labels=classes,
        )
    )


def eomt_dinov3() -> nn.Module:
    """On DINOv3 ViT-L, of COCO's panoptic classes."""
    return transformers.EomtDinov3ForUniversalSegmentation(transformers.EomtDinov3Config(num_labels=133))


def attending_everywhere(network: nn.Module) -> nn.Module:
    """As trained EoMTs do: the masks of their attention were faded out in the course of training."""
    if hasattr(network, "attn_mask_probs"):
        network.attn_mask_probs = torch.zeros(network.config.num_blocks)
    return network


def videomt(size: str, image_size: int, classes: int) -> nn.Module:
    """On DINOv2, of one of the sizes of `TRANSFORMERS`, for square images."""
    width, layers, heads, blocks = TRANSFORMERS[size]
    return transformers.VideomtForUniversalSegmentation(
        transformers.VideomtConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_blocks=blocks,
            image_size=image_size,
            num_labels=classes,
        )
    )


def swin(size: str) -> transformers.SwinConfig:
    """One of `SWINS` as a backbone that hands on its four stages."""
    width, layers, heads, window = SWINS[size]
    return transformers.SwinConfig(
        embed_dim=width, depths=list(layers), num_heads=list(heads), window_size=window, out_features=STAGES
    )


def oneformer() -> nn.Module:
    """With Swin-T, of ADE20k's classes."""
    config = transformers.OneFormerConfig(num_labels=150, backbone_config=swin("tiny"))
    return transformers.OneFormerForUniversalSegmentation(config)


def maskformer() -> nn.Module:
    """With Swin-B, of ADE20k's classes."""
    config = transformers.MaskFormerConfig(num_labels=150, backbone_config=swin("base"))
    return transformers.MaskFormerForInstanceSegmentation(config)


def segformer(size: str) -> nn.Module:
    """One of `SEGFORMERS`, of Cityscapes' classes."""
    layers, channels, decoder = SEGFORMERS[size]
    config = transformers.SegformerConfig(
        depths=list(layers), hidden_sizes=list(channels), decoder_hidden_size=decoder, num_labels=19
    )
    return transformers.SegformerForSemanticSegmentation(config)


def upernet() -> nn.Module:
    """With ConvNeXt-T, of ADE20k's classes."""
    backbone = transformers.ConvNextConfig(hidden_sizes=[96, 192, 384, 768], depths=[3, 3, 9, 3], out_features=STAGES)
    config = transformers.UperNetConfig(num_labels=150, backbone_config=backbone, auxiliary_in_channels=384)
    return transformers.UperNetForSemanticSegmentation(config)


def dpt() -> nn.Module:
    """On ViT-L, of ADE20k's classes."""
    return transformers.DPTForSemanticSegmentation(
        transformers.DPTConfig(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
            backbone_out_indices=[5, 11, 17, 23],
            neck_hidden_sizes=[256, 512, 1024, 1024],
            neck_ignore_stages=[],
            use_batch_norm_in_fusion_residual=True,
            num_labels=150,
        )
    )


def beit() -> nn.Module:
    """On ViT-B, of ADE20k's classes."""
    config = transformers.BeitConfig(
        image_size=640, use_relative_position_bias=True, out_indices=[3, 5, 7, 11], num_labels=150
    )
    return transformers.BeitForSemanticSegmentation(config)


def seen_size(shipped: str) -> tuple[int, int]:
    """Height and width of what a shipped model sees of the camera, as its configuration recommends."""
    location = model_location(shipped)
    recommended = recommended_inference_size(read_config(location), location) or FRAME_SIZE
    return StreamConfig().inference_frame_size(CAMERA_SIZE, recommended=recommended)


def print_costs(models: list[HubModel]) -> None:
    """A table in Markdown, our own models first."""
    columns = ("`model_type`", "checkpoint", "classes", "network's input", "parameters (M)", "GFLOPs per key frame")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in SHIPPED_MODELS:
        size = seen_size(name)
        own = loaded_cost(name, frame_size=size)
        gflops = sum(part.gflops for part in own.parts.values() if part.runs_on == "key")
        print_row("mpvss", name, own.num_classes, size, own.parameters, gflops)
    for model in models:
        gflops, parameters = model.cost()
        print_row(model.family, model.hub_id, model.classes, model.size, parameters, gflops)


def print_row(family: str, name: str, classes: int, size: tuple[int, int], parameters: int, gflops: float) -> None:
    """One model's row of the table."""
    row = (f"`{family}`", f"`{name}`", classes, f"{size[1]}x{size[0]}", f"{parameters / 1e6:.1f}", f"{gflops:.1f}")
    print(f"| {' | '.join(map(str, row))} |", flush=True)


def print_machine() -> None:
    """Processor, threads, and version of torch."""
    print(f"{processor_name()}, {torch.get_num_threads()} threads, fp32, torch {torch.__version__}")


def print_runs(models: list[HubModel]) -> None:
    """Time of key frames of a camera, labels and all."""
    print_machine()
    for model in models:
        print(
            f"{model.hub_id}: 3 of 3 frames of {CAMERA_SIZE[1]}x{CAMERA_SIZE[0]} labelled, a key frame in "
            f"{model.labelled_s():.1f} s",
            flush=True,
        )


def print_times(models: list[HubModel], repeats: int) -> None:
    """Processor time of key frames."""
    torch.set_num_threads(1)
    print_machine()
    for model in models:
        print(f"{model.hub_id}: {1000 * model.processor_s(repeats):.0f} ms", flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="parts of hub ids; all models if there is none")
    parser.add_argument("--time", action="store_true", help="measure rather than count")
    parser.add_argument("--run", action="store_true", help="have frames labelled rather than count")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    models = [model for model in hub_models() if not options.names or any(name in model.hub_id for name in options.names)]
    if options.run:
        print_runs(models)
    elif options.time:
        print_times(models, options.repeats)
    else:
        print_costs(models)


if __name__ == "__main__":
    main()
