"""The page of a run's record: it is safe, stands alone, and its figures read well."""

import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from pipelines.pages import duration, percent, size
from pipelines.record.model import Code, by_class
from pipelines.record.page import render_page
from pipelines.settings import CostConfig
from tests.pipelines.test_record import record, stage

HOSTILE = "<script>alert('x')</script> \"&' {{ 7 * 7 }}"


class Elements(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.text = Counter[str](), ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags[tag] += 1

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def test_names_from_outside_are_text_and_nothing_else() -> None:
    plain, hostile = (
        render_page(
            record(
                job=text,
                status="failed",
                message=text,
                config={"root": text},
                code=Code(version="0.1.0", commit=text),
                filtered={text: 3},
                failures=by_class([(text, text, text)]),
                stages=(stage(text),),
            )
        )
        for text in ("plain", HOSTILE)
    )
    assert Elements(hostile).tags == Elements(plain).tags
    assert Elements(hostile).tags["script"] == 0
    assert Elements(hostile).text.count(HOSTILE) == Elements(plain).text.count("plain")
    assert "49" not in Elements(hostile).text


def test_the_page_stands_alone_and_shows_the_figures() -> None:
    page = render_page(record(filtered={"still": 1}, prices=CostConfig(cpu_hour=0.36, currency="EUR")))
    assert not re.findall(r"(?:src|href)=|url\(|https?://|@import", page)
    text = " ".join(Elements(page).text.split())
    assert "8 new of 10 inputs in 1 min 40 s on 2 CPUs, 1 node." in text
    assert "2.50 EUR per 1,000 clips" in text  # 2 CPUs, 100 s, 8 items
    widths = re.findall(r'<rect x="[\d.]+%" width="([\d.]+)%"', page)
    assert sum(map(float, widths)) == pytest.approx(200)  # inputs, and time


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (duration(0.42), "0.42 s"),
        (duration(59.94), "59.9 s"),
        (duration(59.96), "1 min 00 s"),
        (duration(724), "12 min 04 s"),
        (duration(11220), "3 h 07 min"),
        (size(1023), "1023 B"),
        (size(1023.96 * 1024), "1.0 MiB"),
        (size(3.2 * 2**50), "3,276.8 TiB"),
        (percent(0.0004), "<0.1%"),
        (percent(0.0996), "10%"),
        (percent(0.024), "2.4%"),
    ],
)
def test_figures_read_well_at_the_ends_of_their_units(words: str, wanted: str) -> None:
    assert words == wanted
