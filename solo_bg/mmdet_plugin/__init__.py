"""Everything that a config can name. Each file registers its classes with mmdet or mmengine when it is imported."""

from solo_bg.mmdet_needed import mmdet_needed

with mmdet_needed():  # said once for all files of this package
    import mmcv  # noqa: F401
    import mmdet  # noqa: F401
    import mmengine  # noqa: F401
