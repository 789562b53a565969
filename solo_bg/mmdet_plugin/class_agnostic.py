"""COCO annotations of any classes, read as objects of one class."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS


@DATASETS.register_module()
class ClassAgnosticCocoDataset(CocoDataset):
    """mmdet's `CocoDataset` whose annotations are all of the class `object`, whatever their category.

    A model that is trained on it finds masks of that class.
    """

    METAINFO: ClassVar[dict[str, Any]] = {'classes': ('object',), 'palette': [(220, 20, 60)]}

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> Any:
        self.cat_ids = self.coco.getCatIds()  # mmdet looks for categories that are called `object`
        self.cat2label = dict.fromkeys(self.cat_ids, 0)
        return super().parse_data_info(raw_data_info)
