"""The proxy does what it says, so that tests through it prove something."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import boto3
import pytest

from tests.faulty_s3 import FAULTS, Weather, faulty_s3


@contextmanager
def through(endpoint: str, weather: Weather) -> Iterator[http.client.HTTPConnection]:
    with faulty_s3(endpoint, weather) as url:
        connection = http.client.HTTPConnection(str(urlsplit(url).netloc), timeout=10)
        yield connection
        connection.close()


def body_of(key: str) -> bytes:
    return boto3.client("s3").get_object(Bucket="videos", Key=key)["Body"].read()


def test_in_clear_weather_all_passes_as_it_is(s3_endpoint: str) -> None:
    weather = Weather()
    with through(s3_endpoint, weather) as connection:
        connection.request("PUT", "/videos/proxy/clear", b"as it is", {"Authorization": "AWS test:test"})
        assert connection.getresponse().read() == b""
        connection.request("GET", "/videos/proxy/clear", headers={"Authorization": "AWS test:test"})
        assert connection.getresponse().read() == b"as it is"
        connection.request("HEAD", "/videos/proxy/clear", headers={"Authorization": "AWS test:test"})
        assert connection.getresponse().getheader("Content-Length") == "8"
    assert body_of("proxy/clear") == b"as it is"
    assert weather.seen == {"ok": 3}


@pytest.mark.parametrize(("kind", "status"), [("error_500", 500), ("slow_down_503", 503)])
def test_a_refused_request_never_reaches_the_server(s3_endpoint: str, kind: str, status: int) -> None:
    with through(s3_endpoint, Weather(1.0, (kind,))) as connection:
        connection.request("PUT", f"/videos/proxy/{kind}", b"lost")
        assert connection.getresponse().status == status
    with pytest.raises(Exception, match="NoSuchKey"):
        body_of(f"proxy/{kind}")


@pytest.mark.parametrize("kind", ["applied_500", "applied_reset"])
def test_an_answer_may_be_lost_though_the_server_did_it(s3_endpoint: str, kind: str) -> None:
    weather = Weather(1.0, (kind,))
    with through(s3_endpoint, weather) as connection:
        connection.request("PUT", f"/videos/proxy/{kind}", b"done", {"Authorization": "AWS test:test"})
        if kind == "applied_500":
            assert connection.getresponse().status == 500
        else:
            with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
                connection.getresponse()
    assert body_of(f"proxy/{kind}") == b"done"
    assert weather.seen == {kind: 1}


def test_a_body_breaks_off_in_its_middle(s3_endpoint: str) -> None:
    boto3.client("s3").put_object(Bucket="videos", Key="proxy/long", Body=b"0123456789")
    with through(s3_endpoint, Weather(1.0, ("short_body",))) as connection:
        connection.request("GET", "/videos/proxy/long", headers={"Authorization": "AWS test:test"})
        with pytest.raises(http.client.IncompleteRead) as broken:
            connection.getresponse().read()
    assert broken.value.partial == b"01234"


def test_the_weather_strikes_at_its_share_where_it_may_and_as_often_as_it_may() -> None:
    weather = Weather(0.2, seed=1)
    drawn = [weather.next("GET", "/a") for _ in range(1000)]
    assert 150 < weather.faults < 250  # 200 expected, standard deviation 12.6
    assert set(FAULTS) == set(drawn) - {"ok"}
    again = Weather(0.2, seed=1)
    assert [again.next("GET", "/a") for _ in range(1000)] == drawn
    narrow = Weather(1.0, ("reset",), only="^PUT .*_delta_log", at_most=2)
    asked = [("GET", "/t/_delta_log/0"), ("PUT", "/t/a"), *[("PUT", "/t/_delta_log/1")] * 3]
    assert [narrow.next(*request) for request in asked] == ["ok", "ok", "reset", "reset", "ok"]
    weather.clear()
    assert weather.next("GET", "/a") == "ok"
