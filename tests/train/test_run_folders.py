import pytest

from resight.errors import InputError, WorkError
from resight.train.options import TrainOptions
from resight.train.run_files import LAST, write_record
from resight.train.run_folders import BEGINS, beginning, check_outside, check_same, clear, found_run, reserved

RECORD = {
    "format": "resight-train-1", "state": "training", "options": TrainOptions(epochs=3).as_dict(),
    "classes": ["a", "b"],
    "data": {"source": "x", "digest": "0", "images": 4}, "split": {"skipped": 0}, "network": {"rgb": {"hash": "1"}},
    "versions": {},
}  # fmt: skip


def test_a_free_or_empty_folder_is_new(tmp_path):
    assert found_run(tmp_path / "none", False) is None and found_run(tmp_path, False) is None
    assert found_run(tmp_path / "none", True) is None  # so that a job may always say --resume


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match=r"is there already and is not overwritten: choose another --out$"):
            found_run(tmp_path, resume)
    with pytest.raises(InputError, match="got a file"):
        found_run(tmp_path / "notes.txt", True)


def test_a_run_is_gone_on_with_only_if_asked(tmp_path):
    write_record(tmp_path, RECORD)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / LAST).write_text("")
    with pytest.raises(InputError, match=r"a training that has not finished.*or --resume"):
        found_run(tmp_path, False)
    assert found_run(tmp_path, True) == RECORD
    write_record(tmp_path, {**RECORD, "state": "finished", "model": {"sha256": "0"}})
    with pytest.raises(InputError, match=r"holds a finished training, which is not overwritten: choose another --out$"):
        found_run(tmp_path, False)


def test_stopped_before_it_had_begun(tmp_path):
    (tmp_path / "options.yaml").write_text("")
    (tmp_path / ".resight-12.tmp").write_text("")
    with pytest.raises(InputError, match="or --resume to begin again in it"):
        found_run(tmp_path, False)
    assert found_run(tmp_path, True) is None
    assert not clear(tmp_path) and (tmp_path / "options.yaml").exists()  # without run.json it may be somebody's own


def test_killed_while_its_first_files_were_written(tmp_path):
    """The mark of a run that begins says that nothing there is somebody's own; it goes when run.json is there."""
    with pytest.raises(KeyboardInterrupt), reserved(tmp_path), beginning(tmp_path):
        (tmp_path / "options.yaml").write_text("")
        (tmp_path / "split.csv").write_text("")
        raise KeyboardInterrupt
    assert found_run(tmp_path, False) is None and found_run(tmp_path, True) is None
    with reserved(tmp_path):  # killed again before anything was written
        pass
    assert found_run(tmp_path, False) is None
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already and is not overwritten"):
        found_run(tmp_path, False)
    (tmp_path / "notes.txt").unlink()
    with reserved(tmp_path), beginning(tmp_path):
        write_record(tmp_path, RECORD)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["options.yaml", "run.json", "split.csv"]
    (tmp_path / BEGINS).touch()  # killed just before it was taken away
    with reserved(tmp_path):
        assert not (tmp_path / BEGINS).exists()


def test_results_do_not_become_a_class(tmp_path):
    data = tmp_path / "data"
    (data / "red").mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)
    for inside in (data / "run", data, data / "red" / "new" / "run", tmp_path / "link" / "run"):
        with pytest.raises(InputError, match=r"lies in the folder of the data, .*: choose an --out outside of it"):
            check_outside(inside, str(data))
    check_outside(tmp_path / "data-run", str(data))
    check_outside(tmp_path / "run", str(tmp_path / "list.csv"))
    (data / "run").mkdir()
    write_record(data / "run", RECORD)
    check_outside(data / "run", str(data))  # is there already, and --resume may go on with it


def first_files(folder):
    """What a run leaves before its first epoch has ended."""
    write_record(folder, RECORD)
    for name in ("options.yaml", "split.csv", "skipped.csv", ".resight-12.tmp"):
        (folder / name).write_text("")
    for name in ("checkpoints/.resight-1.tmp", "tensorboard/events.out.tfevents.1.x"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("")


def test_a_run_without_an_epoch_gives_its_folder_back(tmp_path):
    first_files(tmp_path)
    assert found_run(tmp_path, False) is None and found_run(tmp_path, True) is None
    assert len(list(tmp_path.iterdir())) == 7  # looking changes nothing
    assert clear(tmp_path) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["notes.txt", "checkpoints/best.ckpt", "checkpoints/mine", "tensorboard/mine", "metrics.csv", "test/x"]
)
def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path, name):
    first_files(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    lost = "its checkpoints are gone: --resume begins it again" if name == "metrics.csv" else ""
    with pytest.raises(InputError, match=f"a training that has not finished, which is not overwritten.*{lost}"):
        found_run(tmp_path, False)
    assert found_run(tmp_path, True) == RECORD
    assert not clear(tmp_path) and (tmp_path / "split.csv").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": TrainOptions(epochs=4, lr=0.1).as_dict()}, r"lr None, now 0\.1; epochs 3, now 4"),
        (
            {"options": TrainOptions(epochs=3, batch=8).as_dict()},
            "begun with other choices: batch 32, now 8: with --resume and --out alone it goes on as it was begun",
        ),
        ({"data": {"source": "y", "digest": "1", "images": 5}}, r"the data \(then x: 4 images; now y: 5\)"),
        ({"split": {"skipped": 1}}, "images that cannot be read: 0, now 1"),
        ({"network": {"rgb": {"hash": "2"}}}, "the weights that training starts from"),
        ({"fold": 2, "folds": 3}, "the fold: None, now 2"),
    ],
)
def test_other_choices_are_named(tmp_path, change, message):
    now = {**RECORD, **change}
    with pytest.raises(InputError, match=message):
        check_same(tmp_path, RECORD, now, TrainOptions(**now["options"]))


def test_the_machine_may_be_another(tmp_path):
    options = TrainOptions(epochs=3, device="cpu", workers=2, devices=2)
    check_same(tmp_path, RECORD, {**RECORD, "options": options.as_dict()}, options)


def test_two_cannot_train_in_one_folder(tmp_path):
    with reserved(tmp_path / "a" / "run"):
        assert (tmp_path / "a" / "run").is_dir()
        with pytest.raises(WorkError, match="another process is training in"), reserved(tmp_path / "a" / "run"):
            pass
    assert not (tmp_path / "a" / "run").exists()  # nothing was put into it
    with reserved(tmp_path / "a" / "run"):
        (tmp_path / "a" / "run" / ".resight-12.tmp").write_text("of a killed process")
        (tmp_path / "a" / "run" / "run.json").write_text("")
    with reserved(tmp_path / "a" / "run"):
        assert [one.name for one in (tmp_path / "a" / "run").iterdir()] == ["run.json"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match=r"cannot write .*not a folder"), reserved(tmp_path / "file" / "run"):
        pass
