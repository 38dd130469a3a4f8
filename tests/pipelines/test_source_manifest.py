"""Lists of videos: three formats that say the same, what is wrong with one in a line, and no way out of the root."""

import csv
import json
import os
import posixpath
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.errors import UsageError
from pipelines.source_manifest import LISTED, path_below, read_manifest

ROOT = "/data/videos"


def read(path: Path, root: str = ROOT) -> list[dict]:
    table = read_manifest(str(path), path.name, root, lambda _: True)
    assert table.schema == LISTED
    return table.to_pylist()


def written(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def write_csv(path: Path, rows: Sequence[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["path", "caption", "note"])
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path: Path, rows: Sequence[dict]) -> None:
    path.write_text("\n".join(json.dumps(row) for row in rows))


def write_parquet(path: Path, rows: Sequence[dict]) -> None:
    schema = pa.schema([(name, pa.string()) for name in ("path", "caption", "note")])
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path, row_group_size=2)


WRITERS = {"list.csv": write_csv, "list.JSONL": write_jsonl, "list.parquet": write_parquet}

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
names = text.filter(lambda name: "/" not in name and name not in (".", ".."))
stored = st.lists(
    st.fixed_dictionaries({"path": names}, optional={"caption": text, "note": text}),
    min_size=1,
    unique_by=lambda r: r["path"],
)


@given(stored)
def test_all_formats_give_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[dict]) -> None:
    folder = tmp_path_factory.mktemp("lists")
    expected = [
        {
            "path": row["path"],
            "caption": row["caption"].strip() if "caption" in row else None,
            "metadata": json.dumps({"note": row["note"]}) if "note" in row else None,
        }
        for row in sorted(rows, key=lambda row: row["path"])
    ]
    for name, write in WRITERS.items():
        write(folder / name, rows)
        assert read(folder / name) == expected


def test_what_parquet_knows_and_json_does_not_becomes_text_or_is_missing(tmp_path: Path) -> None:
    columns = {
        "path": pa.array(["a.mp4"]).dictionary_encode(),
        "shot": [datetime(2026, 1, 2, 3, tzinfo=UTC)],
        "price": [Decimal("1.50")],
        "score": [float("nan")],
        "none": pa.nulls(1),
        "box": [{"left": 1, "right": None}],
        "big": pa.array([2**63], pa.uint64()),
    }
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    (row,) = read(tmp_path / "list.parquet")
    assert json.loads(row["metadata"]) == {
        "shot": "2026-01-02T03:00:00+00:00",
        "price": "1.50",
        "box": {"left": 1, "right": None},
        "big": 2**63,
    }


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfcaption, path \r\n"a ""red"" disc,\r\nand a box",a.mp4\r\n\r\n,b.mp4\r\n'
    assert read(written(tmp_path, "list.csv", content)) == [
        {"path": "a.mp4", "caption": 'a "red" disc,\r\nand a box', "metadata": None},
        {"path": "b.mp4", "caption": None, "metadata": None},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "", r"l.csv: got the columns \(none\), wanted `path` among them"),
        ("l.csv", "file,caption\na,b\n", r"l.csv: got the columns file, caption, wanted `path` among them"),
        ("l.csv", "path,a,a\n", r"l.csv: got the columns 'path', 'a', 'a', wanted a different name for each"),
        ("l.csv", ",path\n0,a.mp4\n", r"l.csv: got the columns '', 'path', wanted a different name for each"),
        ("l.csv", "path\n", r"l.csv: got no rows, wanted one for each video"),
        ("l.csv", "path,n\na.mp4,1\nb.mp4\n", r"l.csv, line 3: got 1 fields, wanted 2, as in the header"),
        ("l.csv", 'path\n"a.mp4\n', r"l.csv, line 2: got a line that is no CSV \(unexpected end of data\)"),
        ("l.csv", b"path\na.mp4\n\xff.mp4\n", r"l.csv, line 3: got bytes that are no UTF-8"),
        ("l.csv", "path,n\n,1\n", r"l.csv, line 2: got path '', wanted the name of a file"),
        ("l.csv", "path\na.mp4\n\nb.mp4\na.mp4\n", r"l.csv, line 5: got path 'a.mp4', which line 2 has too"),
        ("l.jsonl", "\n \n", r"l.jsonl: got no rows, wanted one for each video"),
        ("l.jsonl", '{"path": "a"}\n{"path": \n', r"l.jsonl, line 2: got a line that is no JSON \(Expecting value"),
        ("l.jsonl", "[" * 100_000, r"l.jsonl, line 1: got a line that is no JSON"),
        ("l.jsonl", '["a.mp4"]', r"l.jsonl, line 1: got JSON of type list, wanted an object such as \{"),
        ("l.jsonl", '\n{"file": "a"}', r"l.jsonl, line 2: got the keys file, wanted `path` among them"),
        ("l.jsonl", b'{"path": "a"}\n"\xe9"', r"l.jsonl, line 2: got bytes that are no UTF-8"),
        ("l.jsonl", '{"path": 7}', r"l.jsonl, line 1: got path 7, wanted text"),
        ("l.jsonl", '{"path": null}', r"l.jsonl, line 1: got path '', wanted the name of a file"),
        ("l.jsonl", '{"path": "a", "caption": ["b"]}', r"l.jsonl, line 1: got caption \['b'\], wanted text"),
        ("l.jsonl", '{"path": "\\ud800.mp4"}', r"l.jsonl, line 1: .*surrogates not allowed"),
        ("l.jsonl", '{"path": "a", "n": Infinity}', r"l.jsonl, line 1: got metadata that JSON cannot hold"),
        ("l.jsonl", '{"path": "a"}\n{"path": "./a"}', r"l.jsonl, line 2: got path 'a', which line 1 has too"),
        ("l.jsonl", '{"path": "../a"}', r"l.jsonl, line 1: got path '../a', wanted one without '..'"),
        ("l.parquet", "path\na.mp4\n", r"l.parquet: got a file that cannot be read .*, wanted Parquet"),
        ("l.parquet", "", r"l.parquet: got a file that cannot be read .*, wanted Parquet"),
    ],
)
def test_what_is_wrong_with_a_list_is_one_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(UsageError, match=f"^source.manifest: {message}") as raised:
        read(written(tmp_path, name, content))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": ["a"]}, "l.parquet: got the columns file, wanted `path` among them"),
        ({"path": pa.array([], pa.string())}, "l.parquet: got no rows, wanted one for each video"),
        (
            {"path": ["a", "b"], "raw": [None, b"x"]},
            r"l.parquet, row 2: got metadata that JSON cannot hold \(bytes b'x'\)",
        ),
        ({"path": ["b", "a", "b"]}, "l.parquet, row 3: got path 'b', which row 1 has too: wanted each video once"),
        ({"path": [1]}, "l.parquet, row 1: got path 1, wanted text"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(tmp_path: Path, columns: dict, message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    with pytest.raises(UsageError, match=f"^source.manifest: {message}"):
        read(tmp_path / "l.parquet")


@pytest.mark.parametrize("nest", [lambda t: t, pa.list_, lambda t: pa.struct({"a": t}), lambda t: pa.map_("string", t)])
def test_a_column_that_ray_would_unpickle_is_refused_unread(
    nest: Callable[[pa.DataType], pa.DataType], tmp_path: Path
) -> None:
    from ray.data._internal.object_extensions.arrow import ArrowPythonObjectType  # registers it, as ray.data does

    columns = {"path": ["a"], "more": pa.nulls(1, nest(ArrowPythonObjectType()))}
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    with pytest.raises(UsageError, match=r"got column 'more' of type .*pickled_object.*, wanted one of Arrow's own"):
        read(tmp_path / "l.parquet")


def test_rows_that_are_not_wanted_may_be_there_twice(tmp_path: Path) -> None:
    path = written(tmp_path, "l.csv", "path\nb.mp4\na.mp4\nb.mp4\n")
    table = read_manifest(str(path), "l.csv", ROOT, lambda name: name == "a.mp4")
    assert table["path"].to_pylist() == ["a.mp4"]


# Names


@pytest.mark.parametrize(
    ("name", "root", "path"),
    [
        ("a/b.mp4", ROOT, "a/b.mp4"),
        ("./a//b.mp4", ROOT, "a/b.mp4"),
        (f"{ROOT}/a.mp4", ROOT, "a.mp4"),
        (f"{ROOT}//./a.mp4", ROOT, "a.mp4"),
        ("/a.mp4", "/", "a.mp4"),
        ("~/a..mp4", ROOT, "~/a..mp4"),  # no home, no step up
        ("s3://bucket/in/a.mp4", "s3://bucket/in", "a.mp4"),
        ("s3://bucket/a.mp4", "s3://bucket", "a.mp4"),
        ("././a//b.mp4", "s3://bucket/in", "a//b.mp4"),  # a key, letter by letter
    ],
)
def test_a_name_is_a_path_below_the_root(name: str, root: str, path: str) -> None:
    assert path_below(name, root) == path


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("/data/videos2/a.mp4", ROOT),
        ("/etc/passwd", ROOT),
        ("//data/videos/a.mp4", ROOT),
        ("//a", "/"),
        ("//.", "/"),
        ("/", "/"),
        (ROOT, ROOT),
        ("a/../b.mp4", ROOT),
        ("..", ROOT),
        (".", ROOT),
        ("a/", ROOT),
        ("a\0.mp4", ROOT),
        ("s3://bucket/in/a.mp4", ROOT),
        ("file:///data/videos/a.mp4", ROOT),
        ("/in/a.mp4", "s3://bucket/in"),
        ("s3://bucket/inner/a.mp4", "s3://bucket/in"),
        ("s3://other/in/a.mp4", "s3://bucket/in"),
        ("s3://bucket/in/../a.mp4", "s3://bucket/in"),
        ("s3://bucket/in/", "s3://bucket/in"),
        ("./", "s3://bucket/in"),
        ("https://server/a.mp4", "s3://bucket/in"),
    ],
)
def test_any_other_place_is_refused(name: str, root: str) -> None:
    with pytest.raises(ValueError, match=r"^got path"):
        path_below(name, root)


pieces = st.sampled_from(
    ["..", ".", "", "a", "...", "~", "data", "videos", "s3:", "bucket", "in", "é", "%2e%2e", "a\0", "\\"]
)


@settings(max_examples=500)
@given(
    st.lists(pieces, min_size=1, max_size=8).map("/".join),
    st.sampled_from([ROOT, "/", "s3://bucket/in", "s3://bucket"]),
)
def test_no_name_leaves_the_root(name: str, root: str) -> None:
    """By the rules of the system itself: whatever is let through lies below the root."""
    try:
        path = path_below(name, root)
    except ValueError:
        return
    assert path
    assert ".." not in path.split("/")
    if not root.startswith("s3://"):  # a key has no other rules
        joined = f"{root.rstrip('/')}/{path}"
        assert joined == os.path.abspath(joined)
        assert posixpath.commonpath([root, joined]) == root != joined
        assert path_below(path, root) == path_below(joined, root) == path
