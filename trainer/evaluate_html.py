"""An evaluation as a page in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_lstm.contracts.manifest import Manifest
from trainer.evaluation import Evaluation
from trainer.pages.evaluation import EvaluationPage, Span
from trainer.replay import Replayed, asset_recordings, writing
from trainer.report import render_evaluation
from trainer.runs import runs
from trainer.tracks import Track

__all__ = ["write_evaluation"]


def write_evaluation(
    path: Path,
    found: Evaluation,
    tracks: Sequence[Track],
    replayed: Replayed,
    manifest: Manifest,
    *,
    title: str,
) -> None:
    """A page that opens offline.

    Args:
        path: Where to.
        found: The figures.
        tracks: What they were computed from, for the labels.
        replayed: What the detector said.
        manifest: The bundle's facts.
        title: Heading.

    Raises:
        OperatorError: The file cannot be written.
    """
    labels: dict[str, list[Span]] = {}
    for track in tracks:
        if track.labels is not None:
            starts, lasts = runs(track.labels)
            spans = zip(track.time_ns[starts].tolist(), track.time_ns[lasts].tolist(), strict=True)
            labels.setdefault(track.asset, []).extend(spans)
    page = render_evaluation(
        EvaluationPage(
            title=title,
            found=found,
            channels=manifest.channels,
            assets=asset_recordings(replayed, manifest),
            labels={asset: sorted(spans) for asset, spans in labels.items()},
            gap_after_s=manifest.grid.gap_after_s,
        )
    )
    with writing(path):
        path.write_text(page, encoding="utf-8")
