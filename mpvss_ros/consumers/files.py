"""Which files each of those who read the labels needs, and what label images they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mpvss_model.config import UNLABELED
from mpvss_model.overlay import PALETTE
from mpvss_ros.consumers.elevation_mapping import subscriber_yaml
from mpvss_ros.consumers.hydra import colors_csv, label_space_yaml
from mpvss_ros.consumers.label_space import LabelSpace, roles_of
from mpvss_ros.consumers.nav2 import costmap_yaml
from mpvss_ros.messages.label_ids import LabelIds
from mpvss_ros.node.class_map import ClassMap

__all__ = ["CONSUMERS", "Consumer"]


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """One who reads the labels, as its profile in ``config/profiles`` sets the node up for it.

    Attributes:
        writers: Of the text of each file, by the end of its name.
        class_map: See the node's parameter.
        label_encoding: See the node's parameter.
        unlabeled_id: See the node's parameter.
    """

    writers: dict[str, Callable[[LabelSpace], str]]
    class_map: tuple[str, ...] = ()
    label_encoding: str = "mono8"
    unlabeled_id: int = UNLABELED

    def files(
        self,
        class_names: tuple[str, ...],
        *,
        class_map: tuple[str, ...] | None = None,
        unlabeled_id: int | None = None,
        roles: Mapping[str, tuple[str, ...] | None] = MappingProxyType({}),
    ) -> dict[str, str]:
        """Texts of the files, by the ends of their names.

        Args:
            class_names: Of the model.
            class_map: Entries, where they are other than the profile's.
            unlabeled_id: Where it is another than the profile's.
            roles: See `mpvss_ros.consumers.label_space.roles_of`.

        Raises:
            ConfigError: If a class is not there, or the label images' encoding cannot hold an id.
        """
        published = ClassMap(class_names, self.class_map if class_map is None else class_map)
        label_ids = LabelIds(
            len(published.names),
            encoding=self.label_encoding,
            unlabeled_id=self.unlabeled_id if unlabeled_id is None else unlabeled_id,
        )
        names = dict(zip(label_ids.ids, published.names, strict=True))
        space = LabelSpace(
            names=names,
            unlabeled_id=label_ids.unlabeled_id,
            colors={i: tuple(PALETTE[index].tolist()) for index, i in enumerate(label_ids.ids)},
            roles=roles_of(names, roles),
        )
        return {end: write(space) for end, write in self.writers.items()}


CONSUMERS = {
    "nav2": Consumer(
        writers={"nav2_costmap.yaml": costmap_yaml},
        class_map=("?ceiling=", "?sky=", "?light=", "?lamp=", "?chandelier=", "?traffic light="),
    ),
    "hydra": Consumer(
        writers={"label_space.yaml": label_space_yaml, "colors.csv": colors_csv}, label_encoding="16SC1", unlabeled_id=-1
    ),
    "elevation_mapping": Consumer(writers={"elevation_mapping.yaml": subscriber_yaml}),
}
