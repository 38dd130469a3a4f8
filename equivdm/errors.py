"""The exceptions that a user may meet. ValueError stays for wrong arguments of a function.

EquivdmError
├── UsageError              a spec, a path or a store that cannot work as given: exit code 2
│   └── BadClip             a stored clip is damaged, gone, or of another backbone: a training cannot use it
├── StoreUnwell             the store does not answer as it should: the same command continues when it is well
├── Claimed                 another run is at the same work, of which there can be one at a time
├── Stopped                 a run was told to end, and saved what it had: the same command continues; exit code 143
└── ItemError               one work item failed; the run goes on and the item becomes a row
    ├── NotAVideo           the file is something else: a page, a text, a folder (final)
    │   ├── EmptyFile       it has no bytes
    │   └── NoVideoStream   sound or subtitles only
    ├── DamagedVideo        a video whose frames cannot all be decoded, or contradict its header (final)
    │   └── Truncated       the end is missing: fewer frames, or a shorter time, than the header promises
    ├── UnsupportedVideo    whole, as far as one can tell, but of a kind that is not decoded here (final)
    ├── AbsentVideo         a video that is listed, and is not there (tried again)
    ├── NoReference         what a generated video should look like is not known, or does not fit it (final)
    ├── BadFlow             motion vectors beside a video are missing, damaged or of another size (final)
    ├── BadControl          so is the condition beside it (final)
    └── DecoderStopped      the decoder process had to be given up (tried again)
        ├── DecoderCrashed  it ended by itself
        ├── DecoderTimeout  it passed decode.timeout_s
        └── DecoderMemory   it passed decode.memory_mib

A row of a failed item carries the name of the class at the tip; code catches the branches.
"""


class EquivdmError(Exception):
    """Base of the errors that this project raises on purpose."""


class UsageError(EquivdmError):
    """The request cannot work as given. The message says what was got, what was wanted and what to do."""


class BadClip(UsageError):
    """A stored clip that cannot be trained on. The message names it."""


class StoreUnwell(EquivdmError):
    """The store does not answer as it should, however often it was asked."""


class Claimed(EquivdmError):
    """Another run is at the same work. The message says who."""


class Stopped(EquivdmError):
    """A run was told to end from outside, and saved what it had. The same command continues."""


class ItemError(EquivdmError):
    """One work item failed. `final` says that trying the same bytes again cannot help."""

    final = False


class NotAVideo(ItemError):
    """The file is something other than a video."""

    final = True


class EmptyFile(NotAVideo):
    """The file has no bytes."""


class NoVideoStream(NotAVideo):
    """A media file without pictures."""


class DamagedVideo(ItemError):
    """It is a video, but its frames cannot all be decoded, or they contradict its header."""

    final = True


class Truncated(DamagedVideo):
    """The end of the file is missing."""


class UnsupportedVideo(ItemError):
    """The video may be whole, but this project, or the FFmpeg in it, cannot decode its kind."""

    final = True


class AbsentVideo(ItemError):
    """A video that a manifest or an earlier listing names, and that the source does not hold."""


class NoReference(ItemError):
    """There is no video that a generated one should look like, or it cannot be read, or is too short."""

    final = True


class BadFlow(ItemError):
    """Motion vectors that should lie beside a video are missing, damaged, or do not fit it."""

    final = True


class BadControl(ItemError):
    """A dense condition that should lie beside a video is missing, damaged, or does not fit it."""

    final = True


class DecoderStopped(ItemError):
    """The decoder process had to be given up; the next call gets a new one."""


class DecoderCrashed(DecoderStopped):
    """The decoder process ended by itself, or was ended by something other than its owner."""


class DecoderTimeout(DecoderStopped):
    """A call ran past `decode.timeout_s`."""


class DecoderMemory(DecoderStopped):
    """A call passed `decode.memory_mib`."""
