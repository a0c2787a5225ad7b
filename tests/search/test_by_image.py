"""Steps that look at the images again, against by-hand loops, on pictures whose contents are known."""

import numpy as np
import pytest
import torch
from oxford_miniature import build, moved, photographed, photographs

import resight
from resight.errors import InputError
from resight.features.heat_boxes import heat_boxes
from resight.images import read_image
from resight.search.after import Clock
from resight.search.ranking import Ranking

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return build(tmp_path_factory.mktemp("mini"), photographs(), landmarks=2, distractors=8)


@pytest.fixture(scope="module")
def shop(mini, one_thread):
    """The miniature, described by class-weighted vectors; 7 x 6 cells an image."""
    encoder = resight.Encoder(descriptor="cam:count=8", size=224, fit="longest")
    with resight.Collection.create(mini.images.parent / "c.resight", encoder) as made:
        made.add(mini.images)
        yield made


@pytest.fixture(scope="module")
def plain(mini, one_thread):
    encoder = resight.Encoder(descriptor="gem", size=96)
    with resight.Collection.create(mini.images.parent / "gem.resight", encoder) as made:
        made.add(mini.images)
        yield made


def name(path):
    return path.rpartition("/")[2].removesuffix(".jpg")


def asked(collection, mini, query="old_mill_1", k=22, **options):
    image, box = mini.queries[query]
    return collection.search(mini.path(image), k, box=box, **options)


class Stopped(Clock):
    """A clock that allows so many looks at it."""

    def __init__(self, looks):
        super().__init__(1.0)
        self.looks = looks

    def allows(self, cost=0.0):
        self.looks -= 1
        return self.looks >= 0


def test_under_its_own_classes_an_image_has_its_stored_descriptor(shop):
    """Offline equals online where query and image are the same: seen afresh, and kept in half precision."""
    items, vectors = shop.vectors()
    views = shop._views()
    for item, vector in list(zip(items, vectors))[:8]:
        fresh = shop.encoder.view(item.path).look
        classes = fresh.best_classes(8)[0]
        assert float(views.describe(fresh, classes) @ vector) == pytest.approx(1, abs=1e-5)
        for view in (views.looks([item.id])[0], shop._views().looks([item.id])[0]):
            assert float(views.describe(view.look, classes) @ vector) == pytest.approx(1, abs=1e-3)


def test_made_and_kept_maps_are_the_same(shop):
    shop._kept = None
    (shop.path / "maps.sqlite").unlink(missing_ok=True)
    ids = [item.id for item in shop.items()][:5]
    made, kept = shop._views().looks(ids), shop._views().looks(ids)
    for one, other in zip(made, kept):
        assert one.look.maps.equal(other.look.maps)
        assert (one.frame, one.fitted, one.shape) == (other.frame, other.fitted, other.shape)


def test_online_equals_a_loop(shop, mini):
    """Every image described by the query's classes, by the package's own per-image functions, one by one."""
    ranking = asked(shop, mini)
    found = shop.after(["cam-online:count=8"])(ranking)
    query = shop.encoder.view(ranking.image, box=ranking.box).look
    classes = query.best_classes(8)[0]
    vector = shop.encoder.describe(query, classes)[0]
    scores = {}
    for path in ranking.paths:
        look = shop.encoder.view(path).look
        total = np.zeros(len(vector))
        weights = look.head[classes] @ look.maps[0].flatten(1)
        for row in torch.relu(weights):
            heat = (row / row.max()).reshape(look.maps.shape[2:]) if row.max() > 0 else torch.zeros(look.maps.shape[2:])
            share = (look.maps[0] != 0).float().mean((1, 2))
            rare = torch.where(share > 0, torch.log(share.sum() / share.clamp(min=1e-9)), 0)
            part = (rare * (look.maps[0] * heat).sum((1, 2))).numpy()
            total += part / (np.linalg.norm(part) or 1)
        scores[path] = float(total / np.linalg.norm(total) @ vector)
    assert found.vector == pytest.approx(vector, abs=1e-5)
    np.testing.assert_allclose(found.scores, [scores[path] for path in found.paths], atol=1e-3)
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("step", ["cam-online:top=7", "cam-regions:top=7", "ransac:top=7,longest=160"])
def test_only_the_first_are_moved_and_none_is_lost(shop, mini, step):
    ranking = asked(shop, mini)
    found = shop.after([step])(ranking)
    assert found.ids[7:].tolist() == ranking.ids[7:].tolist()
    np.testing.assert_array_equal(found.scores[7:], ranking.scores[7:])
    assert sorted(found.ids[:7].tolist()) == sorted(ranking.ids[:7].tolist())
    for rows in (found.boxes, found.regions):
        assert rows is None or np.isnan(rows[7:]).all()
    assert found.matches is None or found.matches[7:] == (None,) * 15


@pytest.mark.parametrize("step", ["cam-online:top=5", "cam-online", "cam-regions:top=5", "ransac:top=4,longest=160"])
def test_other_queries_change_nothing(shop, mini, step):
    rankings = [asked(shop, mini, query) for query in mini.queries]
    shared = shop.after([step])
    forwards = [shared(one) for one in rankings]
    backwards = [shared(one) for one in rankings[::-1]][::-1]
    shop._kept = None
    (shop.path / "maps.sqlite").unlink(missing_ok=True)
    alone = [shop.after([step])(one) for one in rankings]
    assert forwards == backwards == alone


@pytest.mark.parametrize(
    ("step", "looks"), [("cam-online:top=9", 4), ("cam-regions:top=9", 4), ("ransac:top=9,longest=160", 1)]
)
def test_a_budget_stops_after_whole_results(shop, mini, step, looks):
    """One look at the clock is granted: what was looked at by then is sorted, the rest stays, and it is said."""
    ranking = asked(shop, mini)
    act = shop.after([step])._acts[0]
    act.prepare()
    same, note = act(ranking, Stopped(0))
    assert same is ranking
    assert note == "left out: the budget was spent"
    found, note = act(ranking, Stopped(1))
    assert note == f"budget: {looks} of 9 looked at"
    assert found.ids[looks:].tolist() == ranking.ids[looks:].tolist()
    whole, note = act(ranking, Clock(1e6))
    assert note == ""
    assert whole == shop.after([step])(ranking)


def test_regions_equal_a_loop(shop, mini):
    ranking = asked(shop, mini)
    found = shop.after(["cam-regions:top=8,classes=6,heat=2"])(ranking)
    views = shop._views()
    query = shop.encoder.view(ranking.image, box=ranking.box).look
    classes = query.best_classes(6)[0]
    vector = views.describe(query, classes)
    np.testing.assert_allclose(found.vector, vector, atol=1e-6)
    best = {}
    for image in ranking.ids[:8].tolist():
        view = views.looks([image])[0]
        maps = view.look.maps[0]
        cams = [torch.relu((view.look.head[c][:, None, None] * maps).sum(0)) for c in classes[:2]]
        heat = sum(cam / cam.max() for cam in cams) / 2
        height, width = heat.shape
        boxes = heat_boxes(heat.numpy()).tolist() or [[0, 0, width, height]]
        found_here = []
        for x1, y1, x2, y2 in boxes:
            part = views.describe(view.look.crop((x1, y1, x2, y2)), classes)
            box = [x1 / width * 320, y1 / height * 240, x2 / width * 320, y2 / height * 240]
            found_here.append((float(part @ vector), box))
        best[image] = max(found_here, key=lambda pair: pair[0])
    for row in range(8):
        score, box = best[int(found.ids[row])]
        assert found.scores[row] == pytest.approx(score, abs=1e-5)
        assert found.found_in(row) == pytest.approx(box, abs=0.01)
        assert float(found.regions[row] @ vector) == pytest.approx(score, abs=1e-5)
    assert (np.diff(found.scores[:8]) <= 1e-6).all()


@pytest.mark.skipif(not photographed(), reason="the photographs of scikit-image and scikit-learn are not here")
def test_a_region_is_where_the_landmark_is(shop, mini):
    """Over the images of the landmark, the box covers what was pasted there better than the whole image does."""
    found = shop.after(["cam-regions:top=22"])(asked(shop, mini))
    gains = []
    for row, path in enumerate(found.paths):
        landmark, matrix = mini.places.get(name(path), ("", None))
        if landmark != "old_mill" or name(path) in mini.groups["old_mill"]["junk"]:
            continue
        corners = moved(matrix, np.array([[0, 0], [200, 0], [200, 150], [0, 150]], float))
        truth = [*corners.min(0).clip(0), *np.minimum(corners.max(0), [320, 240])]
        gains.append(overlap(found.found_in(row), truth) - overlap((0, 0, 320, 240), truth))
    assert len(gains) == 6
    assert np.mean(gains) > 0


def overlap(one, other):
    sides = [max(0, min(one[i + 2], other[i + 2]) - max(one[i], other[i])) for i in (0, 1)]
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1])


def test_regions_stand_for_images_in_one_ranking_only(shop, mini):
    """Expansion after regions uses them; another query afterwards sees the images' own vectors. Boxes stay."""
    ranking = asked(shop, mini)
    after = shop.after(["cam-regions:top=6", "aqe:k=3"])
    before = shop.after(["aqe:k=3"])(ranking)
    found = after(ranking)
    regions = shop.after(["cam-regions:top=6"])(ranking)
    vector = regions.vector + regions.regions[:3].sum(0)
    np.testing.assert_allclose(found.vector, vector / np.linalg.norm(vector), atol=1e-5)
    boxes = {int(i): regions.found_in(row) for row, i in enumerate(regions.ids[:6])}
    for row, image in enumerate(found.ids.tolist()):
        assert found.found_in(row) == boxes.get(image)
    items, vectors = shop.vectors()
    own = {item.id: vector for item, vector in zip(items, vectors)}
    own |= {int(i): regions.regions[row] for row, i in enumerate(regions.ids[:6])}
    np.testing.assert_allclose(found.scores, [own[int(i)] @ found.vector for i in found.ids], atol=1e-5)
    assert shop.after(["aqe:k=3"])(ranking) == before
    assert [str(done.step) for done in found.steps] == ["cam-regions:top=6", "aqe:k=3"]


def test_regions_of_another_descriptor(plain, mini):
    """gem has no class vectors, but its network has a head that finds regions: of 3 x 3 cells, the whole image."""
    ranking = asked(plain, mini)
    found = plain.after(["cam-regions:top=22"])(ranking)
    np.testing.assert_allclose(found.vector, ranking.vector, atol=1e-5)
    cosines = dict(ranking)
    np.testing.assert_allclose(found.scores, [cosines[path] for path in found.paths], atol=1e-3)
    np.testing.assert_allclose(found.boxes, np.tile([0, 0, 320, 240], (22, 1)), atol=1e-6)


@pytest.mark.skipif(not photographed(), reason="the photographs of scikit-image and scikit-learn are not here")
@pytest.mark.parametrize("box_on", ["pixels", "map"])
def test_a_box_on_the_map_goes_through_every_step(shop, mini, box_on):
    found = asked(shop, mini, box_on=box_on, then=["cam-online", "cam-regions:top=6", "ransac:top=6", "aqe:k=3"])
    assert len(found.steps) == 4
    assert {name(path) for path in found.paths[:3]} <= mini.positives("old_mill_1")


@pytest.mark.parametrize("query", ["north_gate_1", "old_mill_2"])
def test_transformed_copies_are_verified_first(plain, mini, query):
    ranking = asked(plain, mini, query)
    found = plain.after(["ransac:top=22"])(ranking)
    assert name(found.paths[0]) == mini.queries[query][0]  # the query's own image has the most
    verified = [name(path) for path, matches in zip(found.paths, found.matches) if matches is not None]
    assert verified == [name(path) for path in found.paths[: len(verified)]]
    landmark = query.rpartition("_")[0]
    assert {place for i in verified for place in [mini.places.get(i, ("elsewhere",))[0]]} == {landmark}
    assert len(mini.positives(query) & set(verified)) >= 4
    counts = [len(matches) for matches in found.matches if matches is not None]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] >= 50
    cosine = dict(ranking)
    for row, (path, score) in enumerate(found):
        inliers = len(found.matches[row]) if found.matches[row] is not None else 0
        assert score == pytest.approx(cosine[path] + inliers, abs=1e-4)


def test_features_are_kept_up_to_so_many_bytes_the_last_used_longest(plain, mini, monkeypatch):
    """As many images as fit are looked at once for all queries; more than fit never empty the memory."""
    from resight.search import by_image

    ranking = asked(plain, mini)
    act = plain.after(["ransac:top=8,longest=160"])._acts[0]
    looked = []
    monkeypatch.setattr(act.views, "pixels", lambda image: looked.append(image) or pixels_of(image))
    pixels_of = plain._views().pixels
    first, _ = act(ranking, Clock())
    ids = ranking.ids[:8].tolist()
    assert looked == ids
    assert act(ranking, Clock())[0] == first
    assert looked == ids
    sizes = [by_image._bytes(act._features[image]) for image in ids]
    assert act._held == sum(sizes)
    assert sizes[0] > 100 * 4 * 128
    monkeypatch.setattr(by_image, "FEATURE_BYTES", sum(sizes[3:]) + sizes[0])
    act._features_of(ids[0])  # used again, so that 1 and 2 are those used least
    act._features_of(int(ranking.ids[9]))
    assert act._held <= by_image.FEATURE_BYTES
    assert act._held == sum(by_image._bytes(one) for one in act._features.values())
    assert ids[0] in act._features and ids[7] in act._features
    assert ids[1] not in act._features and ids[2] not in act._features
    monkeypatch.setattr(by_image, "FEATURE_BYTES", 0)  # nothing is kept, and nothing changes
    assert act(ranking, Clock())[0] == first
    assert act._held == 0


def test_a_small_box_of_a_large_query_is_seen_in_detail(plain, mini):
    """A stored image pasted into one sixteen times as large, which as a whole would be reduced to its size."""
    image, _ = mini.queries["old_mill_1"]
    large = np.full((960, 1280, 3), 128, np.uint8)
    large[500:740, 700:1020] = read_image(mini.path(image))
    box = (720, 520, 1000, 720)
    found = plain.after(["ransac:top=22,longest=320"])(plain.search(large, 22, box=box))
    assert name(found.paths[0]) == image
    matches = found.matches[0]
    assert len(matches) >= 100
    away = np.linalg.norm(matches.query - [700, 500] - matches.result, axis=1)
    assert np.median(away) < 0.3 and away.max() < 3
    assert ((matches.query >= box[:2]) & (matches.query <= box[2:])).all()


@pytest.mark.parametrize("model", ["homography", "affine"])
def test_matched_points_are_the_same_point_of_the_landmark(plain, mini, model):
    """The homographies are known: a point of the query, sent there, is within 3 pixels of its match."""
    ranking = asked(plain, mini, "old_mill_1")
    found = plain.after([f"ransac:top=22,model={model}"])(ranking)
    _, ours = mini.places[mini.queries["old_mill_1"][0]]
    checked = 0
    for path, matches in zip(found.paths, found.matches):
        if matches is None:
            continue
        _, theirs = mini.places[name(path)]
        expected = moved(theirs @ np.linalg.inv(ours), matches.query)
        away = np.linalg.norm(expected - matches.result, axis=1)
        assert np.median(away) < 1
        assert (away < 3).mean() > 0.9
        x1, y1, x2, y2 = ranking.box
        assert ((matches.query >= (x1, y1)) & (matches.query <= (x2, y2))).all()
        checked += len(matches)
    assert checked > 100


def test_a_file_that_is_gone_goes_last(mini, tmp_path):
    """An image that was indexed and can no longer be read is no reason to stop."""
    images = tmp_path / "images"
    images.mkdir()
    for path in list(mini.images.iterdir())[:6]:
        (images / path.name).write_bytes(path.read_bytes())
    with resight.Collection.create(tmp_path / "c", resight.Encoder(descriptor="cam:count=4", size=64)) as made:
        made.add(images)
        ranking = made.search(read_image(mini.path("old_mill_000")), 6)
        gone = ranking.paths[0]
        (images / gone.rpartition("/")[2]).unlink()
        for step in ("cam-online", "cam-regions"):
            found = made.after([step])(ranking)
            assert found.paths[-1] == gone
            assert found.scores[-1] == -1
            assert found.steps[-1].note == "1 image files could not be read"
        found = made.after(["ransac"])(ranking)
        assert found.matches[found.paths.index(gone)] is None
        assert "1 image files could not be read" in found.steps[-1].note
        assert len(made.after(["cam-regions", "aqe:k=3"])(ranking)) == 6


def test_doors(shop, plain, mini, tmp_path):
    bare = asked(shop, mini)
    bare = Ranking(bare.ids, bare.paths, bare.scores, bare.labels, vector=bare.vector)
    for step in ("cam-online:top=3", "cam-regions", "ransac"):
        with pytest.raises(InputError, match="needs the query's image: take a ranking that"):
            shop.after([step])(bare)
    with pytest.raises(InputError, match=r"cam-online is for collections with the descriptor cam, this one has gem"):
        plain.after(["cam-online"])
    several = resight.Encoder(descriptor="cam:count=4", size=64, scales=(1, 0.5))
    with resight.Collection.create(tmp_path / "s", several) as made:
        for step in ("cam-online", "cam-regions"):
            with pytest.raises(InputError, match=rf"{step} looks at images at one scale only, this collection has"):
                made.after([step])
    headless = resight.Encoder("vit_tiny_patch16_224", weights="random", descriptor="gem")
    with resight.Collection.create(tmp_path / "v", headless) as made:
        with pytest.raises(InputError, match=r"cam-regions needs a network with global.*vit_tiny_patch16_224 has none"):
            made.after(["cam-regions"])
        made.after(["ransac"])  # needs no network
    none = (np.empty(0, np.int64), (), np.empty(0), ())
    outside = Ranking(*none, image=mini.path("old_mill_000"), box=(900, 900, 950, 950))
    for step, collection in (("ransac", plain), ("cam-online:top=3", shop)):
        with pytest.raises(InputError, match=r"box.*900"):
            collection.after([step])(outside)


@pytest.mark.parametrize("step", ["cam-online", "cam-online:top=3", "cam-regions", "ransac"])
def test_an_empty_ranking_stays_empty_and_nothing_was_left_out(shop, mini, step):
    found = asked(shop, mini, label="nobody", then=[step])
    assert len(found) == 0
    assert found.steps[0].note == ""
