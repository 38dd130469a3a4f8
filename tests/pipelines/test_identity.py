"""Names of things depend on what decides a result, and on nothing else."""

import hashlib
import io

import pytest

from equivdm.seeds import derive_seed
from pipelines.identity import content_id, fingerprint, item_key


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
