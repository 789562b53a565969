"""What the report says about all records together, counted while they are read, one at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

STATUSES = ('ok', 'empty', 'rejected', 'unlabelled', 'missing', 'error')
MEASURED = ('ok', 'empty', 'rejected')  # the images with these have gone through the model: they have a share
FAILED = ('error', 'missing')
BINS = 20  # of the histogram of shares
MOST_REASONS = 200  # kinds of failures that are told apart
EXAMPLES = 3  # inputs that are named for each of them
NUMBER = re.compile('[0-9]+')


def shown_outputs(facts: Mapping[str, Any]) -> dict[str, str]:
    """The outputs of a line of the manifest without the single pictures of a style that makes several of an image."""
    return {key: path for key, path in facts['outputs'].items() if '/' not in key}


class Summary:
    """Counts over the lines of a manifest.

    Attributes:
        statuses: number of inputs by status.
        classes: class name -> [instances, images with at least one].
        shares: number of images by share of foreground, in BINS equal parts of 0 to 1.
        reasons: kind of failure -> [its first reason, number of inputs, the first few of them]. Reasons that differ in
            numbers only are of one kind.
        other_failures: failures of further kinds than MOST_REASONS.
    """

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.classes: dict[str, list[int]] = {}
        self.styles: dict[str, None] = {}
        self.decided: Counter[str] = Counter()
        self.shares = [0] * BINS
        self.share_sum = self.iou_sum = self.seconds = 0.0
        self.instances = self.with_iou = self.timed = self.other_failures = 0
        self.slowest: tuple[float, str] | None = None
        self.reasons: dict[str, list[Any]] = {}

    def add(self, facts: Mapping[str, Any]) -> None:
        """Count a line of the manifest."""
        status = facts['status']
        self.statuses[status] += 1
        self.styles.update(dict.fromkeys(shown_outputs(facts)))
        if status in MEASURED:
            self._add_measured(facts)
        elif status in FAILED:
            self._add_failure(facts['input'], str(facts['error']))

    def _add_measured(self, facts: Mapping[str, Any]) -> None:
        share = facts['foreground']
        self.shares[min(int(share * BINS), BINS - 1)] += 1
        self.share_sum += share
        self.instances += facts['instances']
        for name, count in facts['classes'].items():
            counted = self.classes.setdefault(name, [0, 0])
            counted[0] += count
            counted[1] += 1
        self.decided.update({rule: len(ids) for rule, ids in facts['decisions'].items()})
        if facts['iou'] is not None:
            self.with_iou += 1
            self.iou_sum += facts['iou']
        self.timed += 1
        self.seconds += facts['seconds']
        if not self.slowest or facts['seconds'] > self.slowest[0]:
            self.slowest = facts['seconds'], facts['input']

    def _add_failure(self, name: str, reason: str) -> None:
        kind = NUMBER.sub('0', reason)
        if kind not in self.reasons and len(self.reasons) == MOST_REASONS:
            self.other_failures += 1
            return
        known = self.reasons.setdefault(kind, [reason, 0, []])
        known[1] += 1
        if len(known[2]) < EXAMPLES:
            known[2].append(name)

    def facts(self) -> dict[str, Any]:
        """The counts, as the page takes them."""
        measured = max(sum(self.shares), 1)
        return {
            'statuses': {status: self.statuses[status] for status in (*STATUSES, *self.statuses)},
            'classes': [[name, *counted] for name, counted in self.classes.items()],
            'styles': list(self.styles),
            'decided': dict(self.decided),
            'shares': self.shares,
            'meanShare': self.share_sum / measured,
            'meanIou': self.iou_sum / self.with_iou if self.with_iou else None,
            'instances': self.instances,
            'seconds': self.seconds,
            'timed': self.timed,
            'slowest': self.slowest,
            'reasons': sorted(self.reasons.values(), key=lambda known: -known[1]),
            'otherFailures': self.other_failures,
        }
