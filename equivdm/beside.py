"""Files beside a video that are part of what its clips are made of: motion vectors, conditions."""

import hashlib
from pathlib import Path


def files_digest(place: Path) -> str:
    """Return the sha256 of names and bytes of a folder's files, or of a file: part of what names a clip's result."""
    digest = hashlib.sha256()
    for path in sorted(place.iterdir()) if place.is_dir() else [place]:
        with path.open("rb") as file:
            # The name of a file of its own is the video's, and says nothing.
            name = path.name if place.is_dir() else ""
            digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
