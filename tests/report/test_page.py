"""The page: what it says, that it asks for nothing, and that no name can become a part of it."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from beholder.evidence.document import Evidence, Probe
from beholder.report import data
from beholder.report.cards import cards
from beholder.report.figures import SORTS, fitting
from beholder.report.page import content_policy, render_page
from beholder.report.words import EXPLORATORY, outcome_name, percent
from tests.report.synthetic import make_evidence

pytestmark = pytest.mark.slow  # draws every figure
HOSTILE = (
    "\"><script>alert(1)</script><img src=x onerror=alert(1)>' $\\frac{ {{ 7*7 }} </script>\x07"
)


class Document(HTMLParser):
    """Elements with their attributes and the text in them, in the order met."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        self.text.setdefault(tag, []).append("")
        if tag not in ("meta", "img", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.text[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def document(page: str) -> Document:
    return Document(page)


def test_it_asks_for_nothing(document: Document) -> None:
    for tag, attributes in document.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            if name in ("src", "srcset", "href", "xlink:href", "data", "poster", "action"):
                assert value.startswith(("data:image/webp;base64,", "#")), (tag, name, value[:80])
            assert name.startswith("xmlns") or "url(http" not in value
            assert not name.startswith("on")
    assert not re.search(r"@import|url\(", "".join(document.text["style"]))


def test_ids_are_the_page_s_only_ones_and_what_refers_to_them_finds_them(
    document: Document, page: str
) -> None:
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {
        attributes[name][1:]
        for _, attributes in document.elements
        for name in ("href", "xlink:href")
        if attributes.get(name, "").startswith("#")
    } | set(re.findall(r"url\(#([^)]+)\)", page))
    assert len(wanted) > 20
    assert wanted <= set(ids)


def test_a_reader_who_does_not_see_it_gets_all_of_it(document: Document) -> None:
    figures = document.all("svg")
    assert len(figures) == len(SORTS)
    assert all(one["role"] == "img" and len(one["aria-label"]) > 40 for one in figures)
    assert all("alt" in one for one in document.all("img"))
    assert len(document.all("table")) == len(document.all("caption"))
    assert {one["scope"] for one in document.all("th")} == {"col", "row"}
    levels = [int(tag[1]) for tag, _ in document.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_it_says_what_the_evidence_says(document: Document, evidence: Evidence) -> None:
    said = " ".join(document.text["body"])
    assert evidence.sentence in said
    for caveat in evidence.caveats:
        assert caveat in said
    target = evidence.main.role("target")
    assert target is not None
    assert percent(target.kept.value) in document.text["dd"]
    assert "Wilson" in said
    assert evidence.record["network"]["sha256"] in said
    for channel in evidence.channels:
        assert f" : {channel.channel}" in said
    assert "erase" not in said.lower()


def test_faces_exemplars_and_dreams_stand_in_the_page(
    document: Document, evidence: Evidence
) -> None:
    assert len(document.all("img")) == len(evidence.rows) + 2 * len(evidence.channels) + 3


def test_what_is_exploratory_says_so_wherever_it_shows(exploratory: Evidence) -> None:
    text = render_page(exploratory)
    document = Document(text)
    assert EXPLORATORY in document.text["title"][0]
    assert all(EXPLORATORY in caption for caption in document.text["caption"])
    assert all(EXPLORATORY in figure for figure in document.text["svg"])
    assert all(EXPLORATORY in heading for heading in document.text["figcaption"])
    assert exploratory.exploratory is not None
    assert exploratory.exploratory in " ".join(document.text["header"])
    beside = [*document.text["caption"], *document.text["figcaption"]]
    told = [text for text in beside if "Not held out" in text]
    for what in (
        "Methods and modes", "Every condition that", "Channels of", "Each group's channels",
        "The more channels", "What the same channels do", "What was taken", "Against other ways",
        "The other way round",
    ):  # fmt: skip
        assert sum(what in text for text in told) == 1
    assert len(told) == 9


def test_the_cards_of_few_pictures_lead_with_no_p(
    exploratory: Evidence, evidence: Evidence
) -> None:
    *_, firm, _ = cards(evidence)
    *_, few, _ = cards(exploratory)
    assert firm.name == few.name == "selectivity"
    assert "p = 0.005 against random sets" in firm.note
    assert "random sets" not in few.note
    assert "0.005" in render_page(exploratory)  # the table of conditions has it


def test_few_others_are_exploratory_though_targets_were_held_out(evidence: Evidence) -> None:
    why = "3 other pictures are too few to show what is spared (20 are enough)."
    document = Document(render_page(evidence.model_copy(update={"exploratory": why})))
    assert all(EXPLORATORY in figure for figure in document.text["svg"])
    assert why in document.text["header"][0]
    said = " ".join(document.text["main"])
    assert "which had no part in choosing" in said
    assert "Not held out" not in said


def test_pictures_are_said_to_be_split_whether_or_not_copies_were_dropped(
    page: str, evidence: Evidence
) -> None:
    assert "3 near-duplicates of other pictures were dropped first. The others were split" in page
    served = {split: count for split, count in evidence.pictures.items() if split != "duplicate"}
    assert "They were split by the hash" in render_page(
        evidence.model_copy(update={"pictures": served})
    )


def test_minus_signs_are_true_ones(page: str) -> None:
    text = re.sub(r"<(style|script|svg)\b.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    assert not re.search(r"(?<![\w-])-\d", text)


def test_what_is_not_exploratory_does_not(page: str) -> None:
    assert EXPLORATORY not in page
    assert "Not held out" not in page


def test_no_name_becomes_a_part_of_the_page() -> None:
    plain = make_evidence()
    row = plain.rows[0].model_copy(
        update={"source": HOSTILE, "group": HOSTILE, "blinded_label": HOSTILE}
    )
    cells = [plain.matrix[0].model_copy(update={"of": HOSTILE, "group": HOSTILE}), *plain.matrix]
    evidence = plain.model_copy(
        update={
            "name": HOSTILE,
            "target_label": HOSTILE,
            "target_by": HOSTILE,
            "sentence": HOSTILE,
            "caveats": (HOSTILE,),
            "rows": (row, *plain.rows[1:]),
            "went": ((HOSTILE, 0.3), *plain.went),
            "matrix": tuple(cells),
            "record": {HOSTILE: HOSTILE},
            "exploratory": HOSTILE,
        }
    )
    document = Document(render_page(evidence))
    assert len(document.all("script")) == 2
    assert document.all("img") == []
    assert not any(name.startswith("on") for _, given in document.elements for name in given)
    read = Evidence.model_validate_json(document.text["script"][0])
    assert read.rows[0].source == HOSTILE
    assert document.text["h1"] == [HOSTILE]


def test_the_policy_lets_the_page_s_own_script_run_and_no_other(document: Document) -> None:
    digest = hashlib.sha256(document.text["script"][-1].encode()).digest()
    own = f"'sha256-{base64.b64encode(digest).decode()}'"
    policy = content_policy()
    assert f"script-src {own};" in policy
    assert "default-src 'none'" in policy
    (meta,) = [one for one in document.all("meta") if "http-equiv" in one]
    assert meta["content"] == policy


def test_the_data_in_it_is_the_evidence(document: Document, evidence: Evidence) -> None:
    assert document.all("script")[0] == {"type": "application/json", "id": "evidence"}
    read = Evidence.model_validate_json(document.text["script"][0])
    assert read.outcomes == evidence.outcomes
    assert read.record == evidence.record
    assert read.rows == evidence.rows
    assert document.all("script")[1] == {"type": "application/octet-stream", "id": "logits"}
    kept = base64.b64decode(document.text["script"][1])
    assert evidence.logits is not None
    assert hashlib.sha256(kept).hexdigest() == evidence.logits.sha256


def test_a_page_without_logits_hands_out_the_rest(evidence: Evidence) -> None:
    page = render_page(evidence)
    assert "Save evidence.json" in page
    assert "logits.npz" not in page.split('<script type="application/json"')[0]


def test_the_record_is_a_table_of_names_and_values() -> None:
    record = {
        "network": {"sha256": "5d", "classes": 20}, "sizes": [1, 2], "on": True, "x": None,
        "base_channels": {"relu5_2": [6]},
    }  # fmt: skip
    assert list(data.record_rows(record)) == [
        ("network.sha256", "5d"),
        ("network.classes", "20"),
        ("sizes", "1, 2"),
        ("on", "yes"),
        ("x", "none"),
        ("base channels.relu5_2", "6"),
    ]


def test_the_least_p_is_that_of_the_studys_own_draws(evidence: Evidence, page: str) -> None:
    assert "with 199 draws it can’t be below 0.005." in page
    few = tuple(band.model_copy(update={"draws": 19}) for band in evidence.bands)
    told = render_page(evidence.model_copy(update={"bands": few}))
    assert "with 19 draws it can’t be below 0.050." in told


def test_the_least_that_a_study_may_have_is_enough() -> None:
    full = make_evidence()
    targets = tuple(group for group in full.main.roles if group.role == "target")
    alone = full.main.model_copy(
        update={"roles": targets, "groups": (), "selectivity": None, "mcnemar": None}
    )
    evidence = full.model_copy(
        update={
            "outcomes": (alone,),
            "bands": (),
            "rows": (),
            "went": (),
            "layers": {},
            "channels": (),
            "matrix": (),
            "stability": None,
            "caveats": (),
            "record": {},
            "probe": Probe(
                intact=None, blinded=None, masked_target_kept=0.0, masked_others_drop=0.0
            ),
        }
    )
    assert [sort.name for sort in fitting(evidence)] == ["dose-targets"]
    document = Document(render_page(evidence))
    assert len(document.all("svg")) == 1
    assert "siblings" not in document.text["dt"]


def test_every_sort_of_figure_has_a_place_in_the_page(page: str) -> None:
    assert [sort.name for sort in SORTS if f'id="figure-{sort.name}"' not in page] == []


def test_what_is_kept_alone_is_a_row_of_its_table_and_no_rival(
    document: Document, evidence: Evidence
) -> None:
    kept = [one for one in evidence.outcomes if one.kind == "keep"]
    rows = " ".join(document.text["table"])
    assert len(kept) == 6
    assert all(rows.count(f"{outcome_name(one)}") == 1 for one in kept)
