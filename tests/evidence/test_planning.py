"""A plan is made by pictures that never test, says what is tried, and finds what it should."""

import numpy as np
import pytest
import torch

from beholder.errors import InvalidInput
from beholder.evidence.conditions import first
from beholder.evidence.in_memory import cast, measured, studied
from beholder.evidence.planning import FEW_DRAWS, Planner, _some
from beholder.evidence.trial import Trial
from beholder.report.axes import drawing
from beholder.report.figures import drawn, fitting
from beholder.report.selection import rivals
from beholder.science.ablation import Ablation, ablated
from beholder.science.blind import classify
from beholder.science.inputs import to_tensor
from beholder.science.networks import load_network
from beholder.specimens.draw import draw
from beholder.specs import StudySpec

SIDE = 64
FOLDERS = {"spiral": "target", "rings": "sibling", "star": "control"}
EACH = 20


@pytest.fixture(scope="module")
def network():
    return load_network("specimens")


@pytest.fixture(scope="module")
def pictures():
    drawn = [
        to_tensor(draw(label, seed=8_000_000 + number, size=SIDE), size=SIDE)
        for label in FOLDERS
        for number in range(EACH)
    ]
    return torch.stack(drawn)


@pytest.fixture(scope="module")
def answers(network, pictures):
    groups = [label for label in FOLDERS for _ in range(EACH)]
    roles = [FOLDERS[label] for label in groups]
    return measured(network, pictures, roles=roles, groups=groups)


def build(**fields):
    return StudySpec.build(
        network="specimens", size=SIDE, recipe="sound", draws=19, doses=(1, 12), **fields
    )


def planned(network, spec, answers, pictures):
    planner = Planner(network, spec, answers, tell=lambda: None)
    positions = [one.position for one in planner.wanted()]
    return planner.plan(positions, pictures[positions])


@pytest.fixture(scope="module")
def study(network, answers, pictures):
    spec = build(
        methods=("iterative", "count", "effect", "auroc", "gradient", "contrastive", "random"),
        modes=("zero", "mean", "resample", "scale"),
        matrix=True,
    )
    return spec, *studied(network, spec, answers, pictures)


pytestmark = pytest.mark.slow


def test_the_plan_names_all_that_was_asked_for(study):
    spec, plan, _ = study
    names = [one.name for one in plan.conditions]
    assert len(set(names)) == len(names)
    assert plan.headline == names[0] == f"iterative/zero/{plan.conditions[0].dose}"
    chosen = [one for one in plan.conditions if one.kind == "chosen"]
    assert {one.method for one in chosen} == set(spec.methods)
    assert {one.mode for one in chosen} == set(spec.modes)
    assert {one.dose for one in chosen} == {1, 12}
    kinds = [one.kind for one in plan.conditions]
    others = len(spec.methods[1:]) + len(spec.modes[1:])
    assert kinds.count("random") == spec.draws + FEW_DRAWS * (1 + others)
    assert kinds.count("matched") == FEW_DRAWS
    assert kinds.count("alone") == plan.conditions[0].size
    assert {one.of for one in plan.conditions if one.kind == "matrix"} == {"rings", "star"}
    assert {one.dose for one in plan.conditions if one.kind == "keep"} == {1, 12}


def test_conditions_are_the_best_of_their_rankings(study):
    _, plan, _ = study
    for one in plan.conditions:
        if one.kind == "chosen":
            assert one.channels == first(plan.rankings[one.method], one.dose)
    scores = [ranked.score for ranked in plan.rankings["effect"][:100]]
    assert scores == sorted(scores, reverse=True)
    counts = plan.rankings["count"]
    assert [one.score for one in counts] == sorted((one.score for one in counts), reverse=True)
    alike = [one.layer for one in counts if one.score == counts[0].score]
    assert alike[: len(set(alike))] == sorted(set(alike))  # each layer's best before any second


def test_a_study_draws_what_its_channels_keep_alone(study):
    """Of the readings themselves: what is left under each dose, a line a role."""
    spec, _, evidence = study
    (sort,) = [one for one in fitting(evidence) if one.name == "keep"]
    with drawing():
        figure = drawn(sort, evidence)
    lines = {one.get_label(): one.get_xydata().tolist() for one in figure.axes[0].get_lines()}
    assert set(lines) >= {"targets", "siblings", "controls"}
    for role in FOLDERS.values():
        kept = [
            [one.dose, one.role(role).kept.value] for one in evidence.outcomes if one.kind == "keep"
        ]
        assert [dose for dose, _ in sorted(kept)] == list(spec.doses)
        assert lines[f"{role}s"] == sorted(kept)
    assert not any(one.kind == "keep" for one in rivals(evidence))


def test_random_sets_have_the_layers_of_what_they_stand_for(study):
    _, plan, _ = study
    chosen = {(one.method, one.mode): one for one in plan.conditions if one.kind == "chosen"}
    dose = plan.conditions[0].dose
    for one in plan.conditions:
        if one.kind == "random" and one.dose == dose:
            like = chosen[one.of or "iterative", one.mode]
            like = like if like.dose == dose else plan.conditions[0]
            sizes = {layer: len(picked) for layer, picked in one.channels.items()}
            assert sizes == {layer: len(picked) for layer, picked in like.channels.items()}


def test_doses_that_nothing_fills_are_all_that_there_is(network, answers, pictures):
    spec = build(methods=("effect",)).model_copy(update={"doses": (4, 5000), "dose": 5000})
    plan = planned(network, spec, answers, pictures)
    assert plan.conditions[0].dose == plan.conditions[0].size == 1024
    assert sum(one.kind == "random" for one in plan.conditions) == 19 + FEW_DRAWS
    few = [0, 1, 2, 3, EACH, EACH + 1, EACH + 2]
    own = type(answers)(**{name: rows[few] for name, rows in vars(answers).items()})
    own.positions[:] = np.arange(len(few))
    spec = build(methods=("effect",)).model_copy(update={"doses": (5000,)})
    assert planned(network, spec, own, pictures[few]).conditions[0].dose == 1024


def test_means_and_donors_come_from_controls_that_choose(study, network, pictures):
    _, plan, _ = study
    donors = [plan.subjects[position] for position in plan.donors]
    assert {one.split for one in donors} == {"choose"}
    assert {one.role for one in donors} == {"sibling", "control"}
    chose = [s.position for s in plan.subjects if s.split == "choose" and s.role != "target"]
    maps = network.module.features[:36](pictures[chose].clone())
    means = maps.mean(dim=(0, 2, 3))
    found = [plan.means[35][channel] for channel in range(len(means))]
    assert found == pytest.approx(means.tolist(), rel=1e-3, abs=1e-6)


def test_readings_are_what_ablating_one_by_one_gives(study, network, pictures, answers):
    """The plan's conditions of zeroing, one at a time, through the network's own modules."""
    _, plan, evidence = study
    tested = [s.position for s in plan.subjects if s.split == "test" and s.role == "target"]
    for one in evidence.outcomes:
        if one.mode != "zero" or one.kind not in ("chosen", "matrix"):
            continue
        with ablated(network, Ablation(plan.condition(one.name).channels)):
            seen = classify(network, pictures[tested]).argmax(dim=1)
        assert one.role("target").kept.value == pytest.approx(
            (seen == plan.target).double().mean().item()
        )


def test_the_network_is_as_before(study, network, pictures, answers):
    again = classify(network, pictures[:4])
    assert torch.equal(again.argmax(dim=1), torch.from_numpy(answers.logits[:4].argmax(axis=1)))
    assert not any(part._forward_hooks for part in network.module.features)


def test_iterative_blinds_to_the_class_and_random_sets_do_not(study):
    _, _, evidence = study
    assert evidence.main.role("target").kept.value <= 0.2
    assert evidence.main.selectivity.low > 0.2
    assert evidence.main.permutation == 1 / 20
    band = next(one for one in evidence.bands if one.kind == "random" and one.dose == 12)
    assert band.kept["target"].median >= 0.95
    effects = [one.effect.value for one in evidence.channels]
    assert np.mean(effects) < 0


def test_the_same_again_is_the_same(network, answers, pictures, study):
    _, plan, _ = study
    spec = build()
    again = [planned(network, spec, answers, pictures) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0].rankings["iterative"] == plan.rankings["iterative"]


def test_a_set_by_lot_has_no_stability(network, answers, pictures):
    spec = build(methods=("random",), dose=4)
    assert planned(network, spec, answers, pictures).stability is None


def test_stability_is_of_parts_that_are_not_the_whole(network, answers, pictures):
    few = [0, 1, 2, 3, EACH, EACH + 1, EACH + 2, EACH + 3]
    own = type(answers)(**{name: rows[few] for name, rows in vars(answers).items()})
    own.positions[:] = np.arange(len(few))
    assert 0 < planned(network, build(dose=12), own, pictures[few]).stability < 1
    two = few[2:]
    own = type(answers)(**{name: rows[two] for name, rows in vars(answers).items()})
    own.positions[:] = np.arange(len(two))
    assert planned(network, build(dose=12), own, pictures[two]).stability is None


@pytest.mark.parametrize(("count", "size"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (10, 8)])
def test_a_part_of_the_rows_is_never_all_of_several(count, size):
    part = _some(range(5, 5 + count), np.random.default_rng(0))
    assert len(set(part)) == size
    assert set(part) <= set(range(5, 5 + count))


def test_who_picked_the_dose_is_kept(study, network, answers, pictures):
    _, plan, _ = study
    tuning = [one.role == "target" for one in plan.subjects if one.split == "tune"]
    assert plan.tuned_on == (sum(tuning), len(tuning) - sum(tuning))
    assert plan.record["dose"] == {
        "by": "tuning", "tuned_on": {"targets": 4, "others": 8}, "most_recall": 0.02,
        "most_p_target": 0.1,
    }  # fmt: skip
    assert plan.record["spec"]["doses"] == [1, 12]
    assert plan.record["spec"]["min_layer"] == 20  # also what nobody changed
    for fields in ({"dose": 4}, {"doses": (4,)}):
        spec = StudySpec.build(
            network="specimens", size=SIDE, recipe="sound", methods=("count",), draws=19, **fields
        )
        other = planned(network, spec, answers, pictures)
        assert other.tuned_on is None  # nothing to pick
        assert other.record["dose"]["by"] == ("name" if "dose" in fields else "default")


def test_few_targets_are_left_out_one_by_one(network, answers, pictures):
    few = [0, 1, 2, 3, 4, *range(EACH, EACH + 6)]
    own = type(answers)(**{name: rows[few] for name, rows in vars(answers).items()})
    own.positions[:] = np.arange(len(few))
    plan, evidence = studied(network, build(), own, pictures[few])
    assert "5 targets" in evidence.exploratory
    assert plan.tuned_on is None
    folds = [one for one in plan.conditions if one.fold is not None]
    assert [one.fold for one in folds] == list(range(5))
    trial = Trial(network, plan, 20)
    for subject in plan.subjects:
        if subject.fold is not None:
            headline = plan.conditions[trial.course(subject.position).headline]
            assert headline.fold == subject.fold
    assert evidence.main.dose == 12  # the most of those asked for, up to 20


def test_doses_of_each_layer(network, answers, pictures):
    plan = planned(network, build(per_layer=True, dose=2), answers, pictures)
    assert {len(picked) for picked in plan.conditions[0].channels.values()} <= {1, 2}
    assert len(plan.conditions[0].channels) > 4


def test_folds_and_other_groups_choose_as_many_of_each_layer_as_the_headline(
    network, answers, pictures
):
    few = [0, 1, 2, *range(EACH, EACH + 6)]
    own = type(answers)(**{name: rows[few] for name, rows in vars(answers).items()})
    own.positions[:] = np.arange(len(few))
    plan = planned(network, build(per_layer=True, dose=4, matrix=True), own, pictures[few])
    beside = [one for one in plan.conditions if one.fold is not None or one.kind == "matrix"]
    assert len(beside) == 4
    assert {one.size for one in beside} == {plan.conditions[0].size}


@pytest.mark.parametrize(
    ("roles", "fields", "words"),
    [
        (["target"] * 60, {}, "none to test on: add --control"),
        (["target"] + ["control"] * 59, {}, "two are needed at least"),
        (["target"] * 20 + ["control"] * 40, {"target": "dog"}, "no class 'dog'"),
    ],
)
def test_what_can_t_be_studied_says_what_to_change(network, answers, roles, fields, words):
    with pytest.raises(InvalidInput, match=words):
        Planner(network, build(**fields), cast(answers, roles), tell=lambda: None)


def test_what_compares_needs_somebody_to_compare_with(network, answers, pictures):
    rows = [*range(EACH), 40]
    own = type(answers)(**{name: some[rows] for name, some in vars(answers).items()})
    own.positions[:] = np.arange(len(rows))
    with pytest.raises(InvalidInput, match="method effect compares targets with others"):
        studied(network, build(methods=("effect",)), own, pictures[rows])


def test_one_target_and_one_other_do_not_vary(network, answers, pictures):
    rows = [0, 1, EACH, EACH + 1]  # of the others one chooses; without a target one is left
    own = type(answers)(**{name: some[rows] for name, some in vars(answers).items()})
    own.positions[:] = np.arange(len(rows))
    with pytest.raises(InvalidInput, match="one target and one other left to choose by vary by"):
        planned(network, build(methods=("effect",)), own, pictures[rows])


def test_whoever_tells_can_end_it(network, answers, pictures):
    def stop():
        raise InterruptedError

    planner = Planner(network, build(), answers, tell=stop)
    positions = [one.position for one in planner.wanted()]
    with pytest.raises(InterruptedError):
        planner.plan(positions, pictures[positions])
    assert not any(part._forward_hooks for part in network.module.features)


def test_large_pictures_are_fewer(network, answers):
    whole = Planner(network, build(), answers, tell=lambda: None).wanted()
    large = Planner(network, build().model_copy(update={"size": 4096}), answers, tell=lambda: None)
    assert {one.split for one in large.wanted()} == {"choose", "tune"}
    assert 12 * 4096**2 * len(large.wanted()) < 2**31 < 12 * 4096**2 * len(whole)
