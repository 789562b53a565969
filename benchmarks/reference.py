"""The rules of `show_result_ins`, applied to one mask after the other with NumPy and OpenCV.

The fast version must give the same pixels; the benchmark compares its time with this one.
"""

import cv2
import numpy as np


def show_result_ins(image, masks, labels, scores, class_names, score_thr=0.3, sort_by_density=False):
    """Draw the instances of an image.

    Args:
        image: uint8 (H, W, 3), BGR.
        masks: (N, h, w), 0 or 1.
        labels, scores: (N,).

    Returns:
        uint8 (H, W, 3), BGR.
    """
    height, width = image.shape[:2]
    keep = scores > score_thr
    masks = [resize(mask, width, height) for mask in masks[keep]]
    labels = labels[keep]
    if sort_by_density:
        order = np.argsort([mask.sum() for mask in masks], kind='stable').astype(int)
        masks = [masks[index] for index in order]
        labels = labels[order]
    random = np.random.RandomState(42)
    colours = [random.randint(0, 256, (1, 3), dtype=np.uint8) for _ in masks]
    shown = image.copy()
    union = np.zeros((height, width), bool)
    for mask, label, colour in list(zip(masks, labels, colours, strict=True))[::-1]:
        if not mask.any():
            continue
        shown[mask] = image[mask] * 0.5 + colour * 0.5
        y, x = np.nonzero(mask)
        position = (max(int(x.mean()) - 10, 0), int(y.mean()))
        cv2.putText(shown, class_names[label], position, cv2.FONT_HERSHEY_COMPLEX, 0.3, (255, 255, 255))
        union |= mask
    shown[~union] = 0
    return shown


def eliminate(image, masks):
    """Return the image, uint8 (H, W, 3), with 0 outside the union of the masks, bool (N, H, W)."""
    union = np.zeros(image.shape[:2], bool)
    for mask in masks:
        union |= mask
    result = image.copy()
    result[~union] = 0
    return result


def resize(mask, width, height):
    if mask.shape == (height, width):
        return mask.astype(bool)
    return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
