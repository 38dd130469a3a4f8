"""`equivdm doctor`: each check tells what is there from what is not."""

from pathlib import Path

import pytest

from jobs import doctor


@pytest.mark.parametrize(
    "check", [doctor.python, doctor.packages, doctor.processors, doctor.pyav_decodes, doctor.compiler]
)
def test_what_these_tests_run_on_is_well(check: object) -> None:
    found = check()  # type: ignore[operator]
    assert found.state == "ok", found


@pytest.mark.parametrize("check", [doctor.memory, doctor.shared_memory, doctor.disk, doctor.gpus])
def test_what_is_not_well_has_a_cure(check: object) -> None:
    found = check()  # type: ignore[operator]
    assert found.found
    assert found.state == "ok" or found.cure


def test_a_missing_compiler_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert doctor.compiler().state == "missing"


def test_a_store_is_tried(tmp_path: Path) -> None:
    assert doctor.store_works(str(tmp_path / "store")).state == "ok"
    assert not list((tmp_path / "store").iterdir())
    (tmp_path / "file").touch()
    broken = doctor.store_works(str(tmp_path / "file" / "store"))
    assert broken.state == "missing"
    assert "cannot be written" in broken.found


@pytest.mark.usefixtures("impatient")
def test_a_bucket_is_tried_where_the_environment_says_it_is(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    works = doctor.store_works("s3://videos/doctor")
    assert (works.state, s3_endpoint in works.found) == ("ok", True)
    assert doctor.store_works("s3://no-such-bucket/store").state == "missing"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = doctor.store_works("s3://videos/doctor")
    assert away.state == "missing"
    assert "127.0.0.1:9" in away.found
    assert "AWS_ENDPOINT_URL" in away.cure


@pytest.mark.ray
def test_the_table_says_whether_a_run_on_the_cpu_can_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code = doctor.run(str(tmp_path))
    out = capsys.readouterr().out
    assert code == (1 if " missing: see the cures." in out else 0), out
    assert "an embedded Ray starts and runs a task" in out, out
    assert "writes, reads, deletes" in out, out
