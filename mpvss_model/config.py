"""Frozen, self-validating configuration of a video segmentor: the table from which all that offers its settings derives."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mpvss_model.settings import check_settings, described, setting, settings_of

__all__ = [
    "AUTO_INFERENCE_SIZE",
    "AUTO_PROVIDER",
    "DEFAULT_MODEL",
    "EXECUTION_PROVIDERS",
    "FRAME_SIZE",
    "KEY_FRAME_MODES",
    "MAX_HISTORY_WEIGHT",
    "MAX_IMAGE_PIXELS",
    "PER_FRAME",
    "PRECISIONS",
    "RUNTIMES",
    "UNLABELED",
    "DecodingConfig",
    "ExecutionConfig",
    "StreamConfig",
]

DEFAULT_MODEL = "rooms-lite"
KEY_FRAME_MODES = ("sync", "async")
# "auto" is fp16 on a GPU, bf16 for key frames on CPUs made for it, else fp32.
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
# "auto" is ONNX Runtime for an exported file, else torch.
RUNTIMES = ("auto", "torch", "onnx")
# Of exported networks, by the names that users know.
AUTO_PROVIDER = "auto"
EXECUTION_PROVIDERS = ("cpu", "cuda", "tensorrt", "openvino")
# Stands for no propagation at all, where ways to label a video are compared.
PER_FRAME = "per-frame"
# In label images, where no class is.
UNLABELED = 255
MAX_HISTORY_WEIGHT = 10.0
# Of `StreamConfig.inference_size`: what the model recommends, and the frame's own size.
AUTO_INFERENCE_SIZE, FRAME_SIZE = -1, 0
# One place of the coarsest feature map, and about as much as an 8K camera has.
MIN_INFERENCE_SIZE, MAX_INFERENCE_SIZE = 32, 4320
MAX_IMAGE_PIXELS = 16_000_000
MOST_IMAGE_PIXELS = 150_000_000
# Of what is offered: none of these is out of reach of a recording, and none is infinite.
MANY_FRAMES = 100_000
SHORT_S, HOUR_S = 0.001, 3600.0


@described
@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How one video stream is segmented.

    Raises:
        ConfigError: If a value is out of range.
    """

    key_frames: str = setting(
        "sync",
        "async: the segmentor works in the background; sync: its frame waits for it",
        details="In ``async`` mode frames are answered from the last finished key frame.",
        choices=KEY_FRAME_MODES,
    )
    max_interval_frames: int = setting(
        5,
        "A key frame at least every so many frames; 1 runs the segmentor on each frame",
        unit="FRAMES",
        minimum=1,
        offered=(1, MANY_FRAMES),
        live=True,
    )
    max_interval_s: float = setting(
        0.0,
        "A key frame also when the last one is this old, in seconds of frame stamps; 0: max_key_age_s, or half of it when key "
        "frames are asynchronous",
        details="Half of it, so that the next masks are there before the last ones are too old.",
        unit="SECONDS",
        minimum=0.0,
        offered=(0.0, HOUR_S),
        live=True,
    )
    min_interval_s: float = setting(
        0.0,
        "No key frame sooner than this after the last one, except at a scene cut or on request",
        details="At most `time_limit_s`.",
        unit="SECONDS",
        minimum=0.0,
        offered=(0.0, HOUR_S),
        live=True,
    )
    inference_size: int = setting(
        AUTO_INFERENCE_SIZE,
        "Shorter side of what the network sees of a frame, which is resized to it; 0: the frame's own; -1: what the model "
        "recommends, where the frame is larger",
        details="Labels come back at the frame's size all the same: mask logits are upsampled, so that borders stay sharp. "
        "Everything else, such as optical flow, works on the resized frame, too. A given size enlarges smaller frames. Where "
        "the model recommends none, ``-1`` is ``0``. Another size starts the stream anew.",
        unit="PIXELS",
        minimum=MIN_INFERENCE_SIZE,
        maximum=MAX_INFERENCE_SIZE,
        special=(AUTO_INFERENCE_SIZE, FRAME_SIZE),
        live=True,
    )
    motion_threshold: float = setting(
        0.0,
        "A key frame also at a scene cut, and when what motion cannot explain adds up to this, in share of the image x "
        "seconds; 0.05 is a tenth of the image for half a second, 0 does not measure it",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    history_weight: float = setting(
        0.0,
        "Of what earlier key frames said, relative to a new one: 0.5 for steadier labels; 0 is MPVSS as published",
        details="They are carried to the new one. See `mpvss_model.stream.history`.",
        minimum=0.0,
        maximum=MAX_HISTORY_WEIGHT,
        live=True,
    )
    max_key_age_s: float = setting(
        3.0,
        "Masks this old are not used any more, and a longer gap between frames resets the stream",
        details="Confidence reaches 0 at this age. In ``async`` mode masks reach an age of about the segmentor's time for a "
        "key frame, times one more than there are streams.",
        unit="SECONDS",
        minimum=0.0,
        above=True,
        offered=(SHORT_S, HOUR_S),
        live=True,
    )
    max_lost_s: float = setting(
        2.0,
        "A thing that key frames do not show any more keeps its id for so long; 0: only from one key frame to the next",
        details="Of models that find single things; in seconds of frame stamps. Meanwhile its mask is carried on and matched.",
        unit="SECONDS",
        minimum=0.0,
        offered=(0.0, HOUR_S),
        live=True,
    )
    retry_initial_s: float = setting(
        0.5,
        "How long after a failed key frame the next one is tried, in seconds of frame stamps; doubles each time",
        unit="SECONDS",
        minimum=0.0,
        above=True,
        offered=(SHORT_S, HOUR_S),
        live=True,
    )
    retry_max_s: float = setting(
        8.0,
        "The longest wait between two tries after failed key frames",
        details="At least ``retry_initial_s``.",
        unit="SECONDS",
        minimum=0.0,
        above=True,
        offered=(SHORT_S, HOUR_S),
        live=True,
    )
    query_tolerance: float = setting(
        0.01,
        "Queries are left out of propagation as long as no class score, 0 to 1, can change by more than this",
        minimum=0.0,
        offered=(0.0, 1.0),
        live=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        row = {row.name: row for row in settings_of(StreamConfig)}
        replace(row["min_interval_s"], maximum=self.time_limit_s).check(self.min_interval_s)
        replace(row["retry_max_s"], minimum=self.retry_initial_s, above=False).check(self.retry_max_s)

    def inference_frame_size(self, frame_size: tuple[int, int], *, recommended: int = FRAME_SIZE) -> tuple[int, int]:
        """Height and width to which frames of some height and width are resized, each to the nearest pixel.

        Args:
            frame_size: Height and width.
            recommended: What ``inference_size`` of -1 stands for, where the frame is larger.
        """
        shorter = min(frame_size)
        wanted = min(recommended, shorter) if self.inference_size == AUTO_INFERENCE_SIZE else self.inference_size
        if wanted == FRAME_SIZE:
            return frame_size
        height, width = (wanted if side == shorter else round(side * wanted / shorter) for side in frame_size)
        return height, width

    @property
    def time_limit_s(self) -> float:
        """The age at which a key frame is replaced."""
        longest_s = self.max_key_age_s / 2 if self.key_frames == "async" else self.max_key_age_s
        return min(self.max_interval_s or longest_s, self.max_key_age_s)


@described
@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How a camera's images are decoded.

    Raises:
        ConfigError: If a value is out of range.
    """

    max_image_pixels: int = setting(
        MAX_IMAGE_PIXELS,
        "Images of more pixels, width x height, are refused before they are decoded",
        details="A small file can hold gigabytes.",
        unit="PIXELS",
        minimum=1,
        maximum=MOST_IMAGE_PIXELS,
        live=True,
    )
    significant_bits: int = setting(
        0,
        "Bits that the camera's 16-bit values use, such as 12 of mono16; 0: estimated from the brightest so far",
        unit="BITS",
        minimum=8,
        maximum=16,
        special=(0,),
        live=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)


@described
@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """What runs the key-frame network. Motion modules run in torch.

    Raises:
        ConfigError: If a value is unknown.
    """

    runtime: str = setting(
        "auto",
        "What runs the key-frame network: torch; onnx: ONNX Runtime or OpenVINO; auto: onnx for an .onnx file, else torch",
        details="With ``onnx``, a model directory's network is exported for the size of the frames that come.",
        choices=RUNTIMES,
    )
    execution_provider: str = setting(
        AUTO_PROVIDER,
        "Of runtime onnx: cpu, cuda, tensorrt or openvino; auto: cuda where the device is one and it is installed, else cpu",
        details="``openvino`` needs the package of that name, the others are providers of ONNX Runtime.",
        choices=(AUTO_PROVIDER, *EXECUTION_PROVIDERS),
    )
    onnx_folder: str = setting(
        "",
        "Folder where runtime onnx finds and keeps exported networks; empty: they are exported at each start",
        details="``mpvss export MODEL FOLDER`` puts one there beforehand.",
        unit="FOLDER",
    )

    def __post_init__(self) -> None:
        check_settings(self)
