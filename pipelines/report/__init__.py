"""The HTML report: a folder that needs no network, with the figures, the videos side by side, and what made them."""

import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import yaml

from pipelines.config import EvaluateJob
from pipelines.evaluation.comparison import Comparison, compare
from pipelines.evaluation.items import evaluation_of
from pipelines.evaluation.scores import read_scores
from pipelines.evaluation.summary import as_json, summary_csv, values_csv
from pipelines.models import ModelRecord
from pipelines.pages import page_template
from pipelines.report.material import config_of, material_of
from pipelines.report.media import write_players
from pipelines.report.plots import curves_of, stage_bars
from pipelines.report.score_plots import score_plots
from pipelines.report.validation import validations_of
from pipelines.report.words import failure_lines, lead_of, notes, summary_table
from pipelines.store import Store, open_folder, open_store

SHOWN_CLIPS = 24
"""Rows of players; the table covers all clips."""

SHOWN_FAILURES = 50
"""Failures that are listed; summary.json has them all."""

PAGE = "index.html"


def report_place(job: EvaluateJob) -> str:
    """Return where the report of a job is written: a folder, or an `s3://` prefix."""
    return job.report or f"{open_folder(job.store.root).url}/reports/{job.name}"


def build_report(job: EvaluateJob, place: str | None = None) -> str:
    """Write the report of what an evaluation has found so far, and return the path or URL of its page.

    Files that are there already are kept. Raises UsageError where a set of videos is missing from the store.
    """
    store = open_store(job.store)
    return write_report(compare(read_scores(evaluation_of(job, store))), store, place)


def write_report(found: Comparison, store: Store, place: str | None = None) -> str:
    """Write the page, its videos, and the figures as summary.json, summary.csv and values.csv beside it."""
    job = found.scores.job
    out = open_folder(place or report_place(job))
    material, failures = material_of(found, store), failure_lines(found)
    shown = list(material.clips)[:SHOWN_CLIPS]
    players = write_players(material, shown, store, out)
    page = page_template("report/page.html.jinja").render(
        material=material,
        lead=lead_of(material),
        lines=summary_table(found),
        rows=[(material.clips[clip], own) for clip, own in zip(shown, players, strict=True)],
        hidden=len(material.clips) - len(shown),
        plots=score_plots(material),
        baseline=next(method.title for method in material.methods if method.name == found.scores.baseline),
        failures=failures[:SHOWN_FAILURES],
        hidden_failures=max(0, len(failures) - SHOWN_FAILURES),
        curves=curves_of(material),
        validations=validations_of(material, store, out),
        bars=stage_bars(material.seconds),
        settings=[(model, config_of(model)["fit"]["seed"], _settings(model)) for model in material.models],
        evaluation=_yaml(job.model_dump(mode="json", exclude_defaults=True)),
        notes=notes(material),
        version=version("equivdm"),
        created=datetime.now(UTC),
    )
    _put(out, "summary.json", as_json(found))
    _put(out, "summary.csv", summary_csv(found))
    _put(out, "values.csv", values_csv(found))
    _put(out, PAGE, page)
    return f"{out.url}/{PAGE}"


def _put(out: Store, name: str, text: str) -> None:
    """Write a text file, whole or not at all; its ending tells an S3 server what it is."""
    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        local = Path(folder, name)
        local.write_text(text, encoding="utf-8")
        out.put(str(local), name)


def _settings(model: ModelRecord) -> str:
    """The resolved job of a model, as YAML."""
    return _yaml(config_of(model))


def _yaml(values: object) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
