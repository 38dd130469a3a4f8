"""Models of transformers from local folders; nothing is downloaded."""

from typing import Any

from equivdm.errors import UsageError


def from_folder(kind: str, folder: str, setting: str, extra: str, **options: Any) -> Any:
    """Return what a class of transformers reads from a folder; it has no type that says more.

    Args:
        kind: name of the class.
        folder: that `save_pretrained` wrote.
        setting: name of the setting that gave the folder, for errors.
        extra: of this package, which brings transformers.
        options: of `from_pretrained`.

    Raises:
        UsageError: where transformers is not installed, or the folder holds no such thing.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise UsageError(f"{setting}: transformers is not installed: pip install 'equivdm[{extra}]'") from error
    try:
        return getattr(transformers, kind).from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, RuntimeError) as error:
        cause = str(error).splitlines()[0]
        raise UsageError(f"{setting}: {folder} holds no {kind} ({cause}): give a folder of one") from error


def whole_model(kind: str, folder: str, setting: str, extra: str, **options: Any) -> Any:
    """Return a model whose weights are all in its folder: transformers makes up those that are not.

    Raises UsageError as `from_folder` does, and where weights are absent.
    """
    model, info = from_folder(kind, folder, setting, extra, output_loading_info=True, **options)
    absent = sorted(info["missing_keys"])
    if absent:
        raise UsageError(
            f"{setting}: {folder} lacks {len(absent)} weights of a {kind}, such as {absent[0]}: give a folder of one"
        )
    return model.eval()
