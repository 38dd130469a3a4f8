"""Names of things depend on what decides a result, and on nothing else."""

import hashlib
import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equivdm.seeds import derive_seed
from pipelines.identity import content_id, fingerprint, item_key, item_keys


def test_content_id_is_the_sha256_of_the_bytes() -> None:
    assert content_id(io.BytesIO(b"a clip")) == hashlib.sha256(b"a clip").hexdigest()


def test_fingerprint_ignores_order_and_sees_every_value() -> None:
    assert fingerprint({"a": 1, "b": [2, 3]}) == fingerprint({"b": [2, 3], "a": 1})
    assert fingerprint({"a": 1, "b": [2, 3]}) != fingerprint({"a": 1, "b": [3, 2]})


def test_fingerprint_refuses_what_json_cannot_hold() -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"a": float("nan")})


def test_item_key_keeps_parts_apart() -> None:
    assert item_key("ab", "c") != item_key("a", "bc")
    assert item_key([0, 1]) != item_key([0], 1)


@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.integers(-(2**31), 2**31 - 1), st.text())), st.text())
def test_keys_of_columns_are_the_keys_of_their_rows(
    rows: list[tuple[str | None, int | None, str]], common: str
) -> None:
    schema = pa.schema([("caption", pa.string()), ("frames", pa.int32()), ("content", pa.string())])
    columns = pa.table(list(zip(*rows, strict=True)) or [[], [], []], schema=schema)
    halves = pa.concat_tables([columns.slice(0, len(rows) // 2), columns.slice(len(rows) // 2)])
    assert item_keys(halves, common, "end").to_pylist() == [item_key(*row, common, "end") for row in rows]


def test_seeds_keep_parts_and_types_apart_and_fit_in_63_bits() -> None:
    seeds = [
        derive_seed("ab", "c"),
        derive_seed("a", "bc"),
        derive_seed(1),
        derive_seed("1"),
        derive_seed(1, 1),
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(7, "noise", "k") == derive_seed(7, "noise", "k")


def test_keys_of_columns_are_those_of_rows_whatever_the_width_of_text() -> None:
    values = {"content": ["a", 'b"\\', None], "frames": [16, None, 8]}
    wanted = [item_key(*row, "own") for row in zip(*values.values(), strict=True)]
    for text in (pa.string(), pa.large_string()):
        columns = pa.table(
            {"content": pa.array(values["content"], text), "frames": pa.array(values["frames"], pa.int32())}
        )
        assert item_keys(columns, "own").to_pylist() == wanted
