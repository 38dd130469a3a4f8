"""Arrow's functions on columns, whose names its type stubs do not know, and types that are more than data."""

from typing import Any

import pyarrow as pa
import pyarrow.compute

compute: Any = pyarrow.compute
"""`pyarrow.compute`."""


def runs_code(kind: pa.DataType) -> bool:
    """Whether some Python decides what a type's values are: one of Ray Data's unpickles them."""
    if isinstance(kind, pa.ExtensionType):
        return True
    if isinstance(kind, pa.BaseExtensionType):
        return runs_code(kind.storage_type)
    if isinstance(kind, pa.DictionaryType):
        return runs_code(kind.value_type)
    return any(runs_code(kind.field(place).type) for place in range(kind.num_fields))
