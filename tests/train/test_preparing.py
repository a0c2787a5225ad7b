import pytest
import timm
import torch
from training_samples import TINY, class_folders

from resight.errors import WorkError
from resight.images.examples import read_examples
from resight.measure.watching import unwatched
from resight.train.networks import make_network, native_size
from resight.train.options import make_options, resolved
from resight.train.plan import Plan
from resight.train.preparing import check_material, prepare
from resight.train.splits import split_examples

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights, so that a network counts as pretrained."""
    file = tmp_path_factory.mktemp("weights") / "test_resnet.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    return str(file)


@pytest.fixture
def make_plan(tmp_path):
    examples = read_examples(class_folders(tmp_path / "data", each=6))

    def make(**given):
        options = make_options(**{**TINY, "size": 64, "augment": "none", **given})
        options = resolved(options, native_size(options))
        return Plan(examples, split_examples(examples, validation=0.2), options, tmp_path / "run")

    return make


def norms(network):
    return [one for one in network.modules() if isinstance(one, torch.nn.BatchNorm2d)]


def test_statistics_behind_a_new_first_convolution_are_those_of_training_images(make_plan, weights):
    plan = make_plan(weights=weights, input="sift")
    network = make_network(plan.options, 3)
    found = prepare(plan, network, unwatched)
    assert found.settled == len(plan.split.train) and not found.banked
    seen = []
    first = norms(network)[0]
    hook = first.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    fitted = torch.stack([plan_pixels(plan, network, place) for place in plan.split.train])
    with torch.no_grad():
        network.eval().features(fitted)
    hook.remove()
    torch.testing.assert_close(first.running_mean, seen[0].mean((0, 2, 3)), atol=1e-3, rtol=1e-3)


def plan_pixels(plan, network, place):
    from resight.train.inputs import make_fitting

    return make_fitting(plan.options, network.record())(plan.examples.items[place].path)


def test_pixels_and_random_weights_are_not_settled(make_plan, weights):
    for given in ({"weights": weights, "input": "rgb"}, {"input": "sift"}):
        plan = make_plan(**given)
        network = make_network(plan.options, 3)
        before = [one.running_mean.clone() for one in norms(network)]
        assert prepare(plan, network, unwatched).settled == 0
        assert all(torch.equal(one, other.running_mean) for one, other in zip(before, norms(network), strict=True))


def test_the_pixels_half_of_a_fusion_keeps_its_statistics(make_plan, weights):
    plan = make_plan(weights=weights, input="fusion")
    network = make_network(plan.options, 3)
    rgb, sift = (norms(network.branches[name]) for name in ("rgb", "sift"))
    before = [one.running_mean.clone() for one in (*rgb, *sift)]
    assert prepare(plan, network, unwatched).settled == len(plan.split.train)
    assert all(torch.equal(one, other.running_mean) for one, other in zip(before, rgb, strict=False))
    assert not any(torch.equal(one, other.running_mean) for one, other in zip(before[len(rgb) :], sift, strict=True))


def test_a_class_that_cannot_be_trained_on_is_named(make_plan):
    plan = make_plan()
    for item in plan.examples.items:
        if item.label == "red":
            item.path.write_bytes(b"nothing")
    found = prepare(plan, make_network(plan.options, 3), unwatched)
    with pytest.raises(WorkError, match="class 'red' has nothing to train on"):
        check_material(plan, found.material)


def test_validation_that_cannot_be_read(make_plan):
    plan = make_plan()
    for place in plan.split.val:
        plan.examples.items[place].path.write_bytes(b"nothing")
    found = prepare(plan, make_network(plan.options, 3), unwatched)
    with pytest.raises(WorkError, match="none of the 3 images for validation can be read"):
        check_material(plan, found.material)
