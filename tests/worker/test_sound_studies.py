"""A sound study through the worker's stages, in chunks, is what it is in one go."""

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import select

from beholder.errors import NoPictures
from beholder.evidence.answers import Answers
from beholder.evidence.document import Evidence
from beholder.evidence.in_memory import measured, studied
from beholder.evidence.logits import Logits
from beholder.evidence.names import ANSWERS, PLAN, READINGS
from beholder.evidence.plan import Plan
from beholder.evidence.stored import read_evidence, read_logits, read_plan
from beholder.jobs.channel_models import ChannelClass, ChannelEffect, StudyClass
from beholder.jobs.channel_queries import channels
from beholder.jobs.exemplar_queries import exemplars
from beholder.jobs.queries import evidence_path, plan_path
from beholder.jobs.verdicts import summary_of
from beholder.jobs.views import JobView
from beholder.pictures import decode
from beholder.science.inputs import to_tensor
from beholder.science.networks import load_network
from beholder.specs import StudySpec
from beholder.store import picture_path
from beholder.upkeep.verify import verify

pytestmark = pytest.mark.slow  # imports torch

TARGETS, OTHERS = 22, 12


@pytest.fixture
def spec(network: str) -> StudySpec:
    return StudySpec(
        network=network,
        size=48,
        recipe="sound",
        methods=("contrastive", "effect"),
        modes=("zero", "resample"),
        doses=(1, 4),
        draws=19,
        threshold=3,
    )


@pytest.fixture
def entries(bench: Any, draw: Any) -> list[Any]:
    made = [bench.entry(draw(seed), role="target", group="a") for seed in range(TARGETS)]
    return made + [
        bench.entry(draw(100 + seed), role="control", group="b" if seed % 2 else "c")
        for seed in range(OTHERS)
    ]


def evidence_of(bench: Any, job: Any) -> Evidence:
    return read_evidence(bench.store, job, evidence_path(bench.db, job.id))


def test_chunks_are_what_one_go_is(bench: Any, spec: StudySpec, entries: list[Any]) -> None:
    job = bench.run(bench.submit(spec, entries, chunk_size=5))
    assert (job.state, job.done, job.failed) == ("done", TARGETS + OTHERS, 0)
    found = evidence_of(bench, job)
    # The same in memory. Pictures are known there by their pixels, so splits would differ.
    loaded = load_network(spec.network)
    pictures = torch.stack(
        [
            to_tensor(decode(bench.store.picture(item.picture_sha256)), size=48)
            for item in bench.items(job.id)
        ]
    )
    roles = [entry.role for entry in entries]
    groups = [entry.group for entry in entries]
    own = measured(loaded, pictures, roles=roles, groups=groups)
    own.sha256[:] = [item.picture_sha256 for item in bench.items(job.id)]
    _, expected = studied(loaded, spec, own, pictures)
    assert [row.split for row in found.rows] == [row.split for row in expected.rows]
    assert [one.name for one in found.outcomes] == [one.name for one in expected.outcomes]
    for mine, other in zip(found.outcomes, expected.outcomes, strict=True):
        assert [group.kept for group in mine.roles] == [group.kept for group in other.roles]
        for one, two in zip(mine.roles, other.roles, strict=True):
            assert one.margin == pytest.approx(two.margin, abs=1e-3)
    assert found.record["network"] == expected.record["network"]


def test_the_record_tables_and_what_is_handed_on_have_it_all(
    bench: Any, spec: StudySpec, entries: list[Any]
) -> None:
    job = bench.run(bench.submit(spec, entries, chunk_size=9))
    assert_tables_have_it_all(bench, job, spec)
    assert_files_have_it_all(bench, job, spec)


def assert_tables_have_it_all(bench: Any, job: JobView, spec: StudySpec) -> None:
    found = evidence_of(bench, job)
    widths = load_network(spec.network).widths
    with bench.db.read() as session:
        effects = session.scalars(select(ChannelEffect).order_by(ChannelEffect.rank)).all()
        classes = session.scalars(select(StudyClass).order_by(StudyClass.number)).all()
        sums = session.scalars(select(ChannelClass).where(ChannelClass.layer == 20)).all()
    assert [(one.layer, one.channel) for one in effects] == [
        (one.layer, one.channel) for one in found.channels
    ]
    assert all(one.effect_low <= one.effect <= one.effect_high for one in effects)
    assert {(one.target, one.method) for one in effects} == {(found.target_label, "contrastive")}
    on_others = [(one.control_effect_low, one.control_effect_high) for one in effects]
    assert on_others == [
        (one.control_effect.low, one.control_effect.high) for one in found.channels
    ]
    assert [(one.label, one.role, one.n) for one in classes] == [
        ("a", "target", TARGETS), ("c", "control", OTHERS // 2), ("b", "control", OTHERS // 2),
    ]  # fmt: skip
    assert len(sums) == 3 * widths[20]
    rows = [row for row in channels(bench.db, study=job.id) if row.chosen]
    assert {(row.layer, row.channel) for row in rows} == {
        (one.layer, one.channel) for one in found.channels
    }
    for kind in ("strongest", "weakest", "random"):
        one = exemplars(bench.db, layer=20, channel=rows[0].channel, studies=[job.id], kind=kind)
        assert one
    strongest = exemplars(bench.db, layer=35, channel=0, studies=[job.id])
    for picture in strongest:
        left, top, right, bottom = picture.region
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


def assert_files_have_it_all(bench: Any, job: JobView, spec: StudySpec) -> None:
    names = {path.name for path in bench.results()}
    assert names == {
        "target.npz", "control.npz", ANSWERS, PLAN, READINGS, "logits.npz", "evidence.json",
        "conclusion.json",
    }  # fmt: skip
    (plan,) = [path for path in bench.results() if path.name == PLAN]
    assert Plan.model_validate_json(plan.read_bytes()).headline
    paths = evidence_path(bench.db, job.id), plan_path(bench.db, job.id)
    assert read_plan(bench.store, job, *paths) == plan.read_bytes()
    sha256 = hashlib.sha256(plan.read_bytes()).hexdigest()
    record = evidence_of(bench, job).record
    assert record["plan"] == {"file": PLAN, "sha256": sha256}
    assert StudySpec.build(**record["spec"]) == spec
    answers = [path for path in bench.results() if path.name == ANSWERS]
    merged = Answers.merge([Answers.from_bytes(path.read_bytes()) for path in answers])
    assert merged.positions.tolist() == list(range(TARGETS + OTHERS))
    assert len(np.unique(merged.hashes)) > 1
    found = evidence_of(bench, job)
    raw = Logits.from_bytes(read_logits(bench.store, job, evidence_path(bench.db, job.id)))
    assert raw.positions.tolist() == [row.position for row in found.rows]
    np.testing.assert_allclose(raw.intact, merged.logits[raw.positions], rtol=1e-4, atol=1e-4)
    labels = load_network(spec.network).labels
    seen = [labels[number] for number in raw.blinded.argmax(axis=1)]
    assert seen == [row.blinded_label for row in found.rows]
    assert found.logits is not None
    assert found.logits.arrays == {
        "positions": (len(found.rows),),
        "intact": (len(found.rows), len(labels)),
        "blinded": (len(found.rows), len(labels)),
    }


def test_its_summary_is_the_evidence_s_and_verify_finds_nothing(
    bench: Any, spec: StudySpec, entries: list[Any], draw: Any
) -> None:
    """Also where the intact network takes targets for something else, and no ablation helps."""
    labels = load_network(spec.network).labels
    spec = spec.model_copy(update={"target": labels[0]})
    entries += [bench.entry(draw(300 + n), role="sibling", group="s") for n in range(5)]
    job = bench.run(bench.submit(spec, entries, chunk_size=9))
    found = evidence_of(bench, job)
    tested = [row for row in found.rows if row.split == "test"]
    summary = summary_of(bench.db, job.id)
    assert summary.targets == sum(row.role == "target" for row in tested)
    assert summary.controls == sum(row.role != "target" for row in tested)
    target = found.main.role("target")
    assert target is not None
    misnamed = [row for row in tested if row.role == "target" and row.intact_label != labels[0]]
    assert any(row.blinded_label == row.intact_label for row in misnamed)
    assert summary.targets_kept == round(target.kept.value * target.n) == 0
    lost = [row for row in tested if row.role != "target" and row.blinded_label != row.intact_label]
    assert summary.controls_kept == summary.controls - len(lost)
    assert list(verify(bench.db, bench.store, jobs=[job.id])) == []


def test_a_broken_picture_fails_alone(bench: Any, spec: StudySpec, entries: list[Any]) -> None:
    entries[3:3] = [bench.entry(b"no picture", "broken.png", role="target", group="a")] * 2
    job = bench.run(bench.submit(spec, entries, chunk_size=2))
    assert (job.state, job.done, job.failed) == ("done", TARGETS + OTHERS, 2)
    assert {row.position for row in evidence_of(bench, job).rows} & {3, 4} == set()


def test_without_others_it_is_refused(bench: Any, spec: StudySpec, entries: list[Any]) -> None:
    with pytest.raises(NoPictures, match="add --control or --sibling pictures"):
        bench.submit(spec, entries[:TARGETS])


def test_others_that_are_all_copies_fail_it_with_what_to_do(
    bench: Any, spec: StudySpec, entries: list[Any], draw: Any
) -> None:
    copy = bench.entry(draw(0), role="control", group="b")  # of the first target
    job = bench.run(bench.submit(spec, [*entries[:TARGETS], copy]))
    assert job.state == "failed"
    assert "add --control or --sibling pictures" in job.error


def test_a_donor_that_is_gone_ends_the_study_with_its_reason(
    bench: Any, spec: StudySpec, entries: list[Any], monkeypatch: Any
) -> None:
    job_id = bench.submit(spec, entries)
    with monkeypatch.context() as patch:
        patch.setattr("worker.sweeping.SweepWork.batches", lambda work: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.run(job_id)
    (path,) = [path for path in bench.results() if path.name == PLAN]
    plan = Plan.model_validate_json(path.read_bytes())
    lost = next(one.sha256 for one in plan.subjects if one.position in plan.donors)
    bench.store.remove(picture_path(lost))
    job = bench.run(job_id)
    assert job.state == "failed"
    assert "donor pictures can't be read any more: queue the study again" in job.error


def test_few_targets_make_it_exploratory(bench: Any, spec: StudySpec, entries: list[Any]) -> None:
    job = bench.run(bench.submit(spec, [*entries[:5], *entries[TARGETS:]]))
    found = evidence_of(bench, job)
    assert "5 targets are too few" in (found.exploratory or "")
    assert found.main.role("target").n == 5


def test_what_nobody_foresaw_in_a_stage_is_tried_again(
    bench: Any, spec: StudySpec, entries: list[Any], monkeypatch: Any
) -> None:
    whole = evidence_of(bench, bench.run(bench.submit(spec, entries)))
    job_id = bench.submit(spec, entries)
    for stage, name in (("choose", "choosing.Planner.plan"), ("conclude", "sweeping.analyse")):
        with monkeypatch.context() as patch:
            patch.setattr(f"worker.{name}", lambda *args, **options: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                bench.run(job_id)
        assert bench.job(job_id).stage == stage
    found = evidence_of(bench, bench.run(job_id))
    assert found.outcomes == whole.outcomes
    assert found.channels == whole.channels
