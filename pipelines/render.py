"""A model, and driving videos or clips, to videos: noise from the motion, the ODE, `decode`, one row per video."""

from pipelines.batch import Items, RunSummary
from pipelines.config import RenderJob
from pipelines.models import newest_model
from pipelines.rendering.clips import Clips
from pipelines.rendering.films import Films
from pipelines.store import Store, open_store
from pipelines.tables import Table


def run(config: RenderJob) -> RunSummary:
    """Render the source's videos, or the selected clips. The same call again renders only what is missing."""
    return _work(config, open_store(config.store)).run()


def inputs(config: RenderJob, store: Store) -> tuple[Table, Items]:
    """Return the table and the items of a job, as the store knows them."""
    return _work(config, store).inputs()


def parts(config: RenderJob, store: Store) -> dict[str, set[str]]:
    """Return the keys of what long driving videos of a job are rendered from, by table."""
    return Films(config, store, newest_model(store, config.model)).parts()


def _work(config: RenderJob, store: Store) -> Films | Clips:
    model = newest_model(store, config.model)
    return (Clips if config.source is None else Films)(config, store, model)
