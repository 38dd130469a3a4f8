"""Arrow's functions on columns, whose names its type stubs do not know."""

from typing import Any

import pyarrow.compute

compute: Any = pyarrow.compute
"""`pyarrow.compute`."""
