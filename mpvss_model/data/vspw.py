"""VSPW: video scene parsing in the wild (Miao et al., CVPR 2021)."""

from __future__ import annotations

from pathlib import Path

from mpvss_model.config import DecodingConfig
from mpvss_model.data.clip import Clip, ClipSet
from mpvss_model.data.image_files import IMAGE_SUFFIXES, FileFrames, class_index_table, files_by_stem, listed_names
from mpvss_model.errors import DataError
from mpvss_model.semantics import UNLABELED

__all__ = ["VSPW_CLASSES", "open_vspw"]

LAYOUT = "the VSPW layout: train.txt, val.txt, test.txt and data/<video>/origin/*.jpg with data/<video>/mask/*.png"
RATE_HZ = 15.0
# In the order of label_num_dic_final.json, which starts with 0 for "others" and counts these from 1.
VSPW_CLASSES = tuple(
    """
    wall ceiling door stair ladder escalator Playground_slide handrail_or_fence window rail goal pillar pole floor ground
    grass sand athletic_field road path crosswalk building house bridge tower windmill well_or_well_lid
    other_construction sky mountain stone wood ice snowfield grandstand sea river lake waterfall water
    billboard_or_Bulletin_Board sculpture pipeline flag parasol_or_umbrella cushion_or_carpet tent roadblock car bus
    truck bicycle motorcycle wheeled_machine ship_or_boat raft airplane tyre traffic_light lamp person cat dog horse
    cattle other_animal tree flower other_plant toy ball_net backboard skateboard bat ball
    cupboard_or_showcase_or_storage_rack box traveling_case_or_trolley_case basket bag_or_package trash_can cage plate
    tub_or_bowl_or_pot bottle_or_cup barrel fishbowl bed pillow table_or_desk chair_or_seat bench sofa shelf bathtub
    gun commode roaster other_machine refrigerator washing_machine Microwave_oven fan curtain textiles clothes
    painting_or_poster mirror flower_pot_or_vase clock book tool blackboard tissue screen_or_television computer
    printer Mobile_phone keyboard other_electronic_product fruit food instrument train
    """.split()  # noqa: SIM905  a hundred quotes would hide the names
)
# 0 is "others", which the benchmark ignores.
CLASS_INDEX_OF = class_index_table({0: UNLABELED, **{i + 1: i for i in range(len(VSPW_CLASSES))}})


def open_vspw(root: str | Path, split: str = "val", *, decoding: DecodingConfig | None = None) -> ClipSet:
    """The videos that ``<root>/<split>.txt`` lists; those of the split ``test`` may lack labels.

    Args:
        root: Of the data set.
        split: ``train``, ``val`` or ``test``.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.

    Raises:
        DataError: If a file is missing; it names the first.
    """
    root = Path(root)
    names = listed_names(root / f"{split}.txt", LAYOUT)
    clips = tuple(
        Clip(name, _frames(root / "data" / name, may_lack_labels=split == "test", decoding=decoding)) for name in names
    )
    return ClipSet(f"VSPW {split} ({root})", VSPW_CLASSES, clips, split)


def _frames(video: Path, *, may_lack_labels: bool, decoding: DecodingConfig | None) -> FileFrames:
    images = files_by_stem(video / "origin", IMAGE_SUFFIXES, LAYOUT)
    labels: dict[str, Path] = {}
    if not may_lack_labels or (video / "mask").is_dir():
        labels = files_by_stem(video / "mask", (".png",), LAYOUT)
        unpaired = sorted(images.keys() ^ labels.keys())
        if unpaired:
            folder, suffix = ("mask", ".png") if unpaired[0] in images else ("origin", ".jpg")
            raise DataError(f"{video / folder / unpaired[0]}{suffix} is missing; expected {LAYOUT}")
    return FileFrames(
        images=list(images.values()),
        labels=[labels.get(stem) for stem in images],
        rate_hz=RATE_HZ,
        class_index_of=CLASS_INDEX_OF,
        decoding=decoding,
    )
