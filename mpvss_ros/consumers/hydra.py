"""Hydra's label space and colours."""

from __future__ import annotations

from mpvss_ros.consumers.label_space import LabelSpace
from mpvss_ros.consumers.yaml_text import yaml_text

__all__ = ["colors_csv", "label_space_yaml"]

UNLABELED_NAME = "unlabeled"
# By the words that Hydra has for them.
ROLE_KEYS = {
    "dynamic_labels": "dynamic",
    "invalid_labels": "invalid",
    "object_labels": "objects",
    "surface_places_labels": "surfaces",
}


def label_space_yaml(space: LabelSpace) -> str:
    """A file as those in Hydra's ``config/label_spaces``."""
    contents: dict[str, object] = {"total_semantic_labels": space.total}
    contents |= {key: list(space.roles[role]) for key, role in ROLE_KEYS.items()}
    contents["label_names"] = [{"label": i, "name": name} for i, name in _named(space).items()]
    return "---\n" + yaml_text(contents)


def colors_csv(space: LabelSpace) -> str:
    """A colour of each id, as Hydra's ``semantic_colormap_file`` has them.

    Hydra splits the file at each end of a line and the lines at each comma, whatever is quoted: names have blanks and
    semicolons in their place.
    """
    rows = ["name,red,green,blue,alpha,id"]
    for i, name in _named(space).items():
        red, green, blue = space.colors.get(i, (0, 0, 0))
        rows.append(f"{' '.join(name.splitlines()).replace(',', ';')},{red},{green},{blue},255,{i}")
    return "\n".join(rows) + "\n"


def _named(space: LabelSpace) -> dict[int, str]:
    """All ids that label images may hold, but for a negative one, which Hydra knows to be no label."""
    names = dict(space.names)
    if space.unlabeled_id >= 0:
        names[space.unlabeled_id] = UNLABELED_NAME
    return dict(sorted(names.items()))
