"""The exceptions that a user may meet. ValueError stays for wrong arguments of a function.

EquivdmError
├── UsageError              a spec, a path or a store that cannot work as given: exit code 2
└── ItemError               one work item failed; the run goes on and the item becomes a row
    ├── NotAVideo           the file is empty, is something else, or has no video stream (final)
    ├── DamagedVideo        a video whose frames cannot all be decoded (final)
    ├── AbsentVideo         a video that is listed, and is not there (tried again)
    ├── BadFlow             motion vectors beside a video are missing, damaged or of another size (final)
    └── DecoderStopped      the decoder crashed, hung or passed its memory limit (tried again)
"""


class EquivdmError(Exception):
    """Base of the errors that this project raises on purpose."""


class UsageError(EquivdmError):
    """The request cannot work as given. The message says what was got, what was wanted and what to do."""


class ItemError(EquivdmError):
    """One work item failed. `final` says that trying the same bytes again cannot help."""

    final = False


class NotAVideo(ItemError):
    """The file is empty, is something other than a video, or has no video stream."""

    final = True


class DamagedVideo(ItemError):
    """The container opens, but its frames cannot all be decoded."""

    final = True


class AbsentVideo(ItemError):
    """A video that a manifest or an earlier listing names, and that the source does not hold."""


class BadFlow(ItemError):
    """Motion vectors that should lie beside a video are missing, damaged, or do not fit it."""

    final = True


class DecoderStopped(ItemError):
    """The decoder process crashed, ran past its time, or passed its memory limit."""
