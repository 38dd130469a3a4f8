"""The HTML report: a folder that needs no network, with the figures, the videos side by side, and what made them."""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import yaml

from pipelines.config import EvaluateJob
from pipelines.models import ModelRecord
from pipelines.pages import page_template
from pipelines.report.material import Material, config_of, counted, notes, read_material, summary_table
from pipelines.report.media import write_players
from pipelines.report.plots import curves_of, stage_bars
from pipelines.report.validation import validations_of
from pipelines.store import open_store

SHOWN_CLIPS = 24
"""Rows of players; the table covers all clips."""


def build_report(job: EvaluateJob, out: Path) -> Path:
    """Write the report of an evaluate job's sets of videos below `out`, and return the path of its page.

    Files that are there already are kept. Raises UsageError where a set of videos is missing from the store.
    """
    store = open_store(job.store)
    material = read_material(job, store)
    shown = material.clips[:SHOWN_CLIPS]
    players = write_players(material, shown, store, out, job.source)
    page = page_template("report/page.html.jinja").render(
        material=material,
        lead=_lead(material),
        lines=summary_table(material, job.bootstrap),
        rows=list(zip(shown, players, strict=True)),
        hidden=len(material.clips) - len(shown),
        curves=curves_of(material),
        validations=validations_of(material, store, out),
        bars=stage_bars(material.seconds),
        settings=[(model, config_of(model)["fit"]["seed"], _settings(model)) for model in material.models],
        notes=notes(material, job.bootstrap),
        version=version("equivdm"),
        created=datetime.now(UTC),
    )
    path = out / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _lead(material: Material) -> str:
    """The page's one sentence."""
    models, clips = counted(len(material.methods), "model"), counted(len(material.clips), "clip")
    return f"Video rendered anew by {models} from the motion, conditions and captions of {clips}."


def _settings(model: ModelRecord) -> str:
    """The resolved job of a model, as YAML."""
    return yaml.safe_dump(config_of(model), sort_keys=False, allow_unicode=True)
