"""Keras files of every layout give what their backend computed; damaged and hostile ones give one line."""

import importlib

import numpy as np
import pytest
import torch

from resight.errors import InputError, WorkError
from resight.models import Backbone, keras
from resight.models.keras import KerasWeights, keras_state, read_keras, to_state
from resight.models.vgg_cam import VggCam

h5py = pytest.importorskip("h5py", reason="Keras files need h5py")

pytestmark = pytest.mark.usefixtures("one_thread")

BLOCKS, CAM, CLASSES = ((4, 5), (6,)), 7, 3
LAYOUTS = ["keras1-theano", "keras1-tensorflow", "keras2-theano", "keras2-tensorflow", "keras2-model", "keras0"]


def model():
    return VggCam(BLOCKS, CAM, CLASSES).eval().requires_grad_(False)


def layers(seed=0, blocks=BLOCKS, cam=CAM, classes=CLASSES):
    """(name, kernel, bias) as the file's backend applies them: (O, I, h, w) and (in, out)."""
    random, width, made = np.random.default_rng(seed), 3, []
    for channels in [*sum(blocks, ()), cam]:
        scale = (2 / (9 * width)) ** 0.5
        made.append(
            (f"conv_{len(made)}", random.normal(0, scale, (channels, width, 3, 3)), random.normal(size=channels))
        )
        width = channels
    made.append(("dense_1", random.normal(size=(width, classes)), random.normal(size=classes)))
    return [(name, kernel.astype("f4"), bias.astype("f4")) for name, kernel, bias in made]


def write(file, made, layout):
    """A .h5 file as that Keras wrote it, with layers without weights between the others."""
    last = layout not in ("keras1-theano", "keras0")
    with h5py.File(file, "w") as root:
        top = root.create_group("model_weights") if layout == "keras2-model" else root
        if layout == "keras0":
            top.attrs["nb_layers"] = 2 * len(made)
        else:
            top.attrs["layer_names"] = [n.encode() for name, *_ in made for n in (f"pad_{name}", name)]
        if layout.startswith("keras2"):
            top.attrs["keras_version"] = b"2.1.3"
            top.attrs["backend"] = b"theano" if layout == "keras2-theano" else b"tensorflow"
        for number, (name, kernel, bias) in enumerate(made):
            pad = top.create_group(f"layer_{2 * number}" if layout == "keras0" else f"pad_{name}")
            group = top.create_group(f"layer_{2 * number + 1}" if layout == "keras0" else name)
            if layout == "keras0":
                pad.attrs["nb_params"], group.attrs["nb_params"] = 0, 2
                names = ["param_0", "param_1"]
            else:
                new = layout.startswith("keras2")
                names = [f"{name}/kernel:0", f"{name}/bias:0"] if new else [f"{name}_W", f"{name}_b"]
                pad.attrs["weight_names"] = np.array([], dtype="S1")
                group.attrs["weight_names"] = [n.encode() for n in names]
            turned = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 and last else kernel
            group.create_dataset(names[0], data=turned)
            group.create_dataset(names[1], data=bias)
    return file


def forward(made, image, convolve):
    """Naive: image (3, H, W) in blue, green, red -> the class scores; `convolve` rotates the kernel as Theano does."""
    x, place = image, 0
    for number, block in enumerate([*BLOCKS, None]):
        if number and block:
            x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
            x = x.reshape(len(x), x.shape[1] // 2, 2, -1, 2).max((2, 4))
        for _ in block or (CAM,):
            _, kernel, bias = made[place]
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
            out = np.zeros((len(kernel), *x.shape[1:]))
            for row in range(x.shape[1]):
                for column in range(x.shape[2]):
                    for r in range(3):
                        for c in range(3):  # convolution: the kernel runs against the image
                            at = kernel[:, :, 2 - r, 2 - c] if convolve else kernel[:, :, r, c]
                            out[:, row, column] += at @ padded[:, row + r, column + c]
            x, place = np.maximum(out + bias[:, None, None], 0), place + 1
    return x.mean((1, 2)) @ made[place][1] + made[place][2]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_computes_what_the_backend_computed(tmp_path, layout):
    made, net = layers(), model()
    state = keras_state(write(tmp_path / "w.h5", made, layout), net)
    net.load_state_dict(state)
    image = np.random.default_rng(1).normal(size=(3, 6, 9)) * 3
    convolve = "theano" in layout or layout == "keras0"
    expected = forward(made, image, convolve)
    rgb = torch.from_numpy(image[::-1].copy()).float()[None]
    np.testing.assert_allclose(net(rgb)[0].numpy(), expected, atol=1e-4)
    assert abs(forward(made, image, not convolve) - expected).max() > 0.01  # or the test would see no difference
    bgr = torch.from_numpy(image).float()[None]
    assert abs(net(bgr)[0].numpy() - expected).max() > 0.01


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_read(tmp_path, layout):
    made = layers()
    found = read_keras(write(tmp_path / "w.h5", made, layout))
    assert found.version == (2 if "keras2" in layout else 1)
    assert found.backend == ((layout == "keras2-theano" and "theano") or ("keras2" in layout and "tensorflow") or None)
    assert len(found.layers) == len(made)
    for (name, parameters), (own, kernel, bias) in zip(found.layers, made):
        assert layout == "keras0" or name == own
        assert set(parameters) == {"kernel", "bias"}
        np.testing.assert_array_equal(parameters["bias"], bias)
        turned = kernel if kernel.ndim == 2 or layout in ("keras1-theano", "keras0") else kernel.transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(parameters["kernel"], turned)
    assert repr(found).startswith(f"KerasWeights({len(made)} layers, version=")


def test_one_kernel_by_hand():
    """An edge filter of Theano, for the blue channel alone."""
    kernel = np.zeros((4, 3, 3, 3), np.float32)
    kernel[0, 0] = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    rest = [(name, {"kernel": k, "bias": b}) for name, k, b in layers()]
    weights = KerasWeights((("c", {"kernel": kernel, "bias": np.zeros(4, np.float32)}), *rest[1:]), 1, None)
    first = to_state(weights, model())["features.0.weight"]
    assert first[0, 2].tolist() == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]
    assert not first[0, :2].any()


@pytest.mark.slow
def test_a_whole_vgg16_cam_with_a_head_for_six_classes(tmp_path):
    from resight.models.vgg_cam import VGG16

    made = layers(blocks=VGG16, cam=1024, classes=6)
    file = write(tmp_path / "vgg_cam_weights.h5", made, "keras1-theano")
    backbone = Backbone("vgg16_cam", weights=str(file), device="cpu")
    assert backbone.head_weight.shape == (6, 1024)
    np.testing.assert_array_equal(backbone.head_weight, made[-1][1].T)
    np.testing.assert_array_equal(backbone.head_bias, made[-1][2])
    np.testing.assert_array_equal(backbone.model.conv.weight, made[13][1][:, :, ::-1, ::-1])
    np.testing.assert_array_equal(backbone.model.features[0].weight, made[0][1][:, ::-1, ::-1, ::-1])
    assert backbone.preprocessing.std == (1 / 255,) * 3


# Doors


def refuses(file, error, message, net=None):
    with pytest.raises(error, match=message) as caught:
        keras_state(file, net or model())
    assert "\n" not in str(caught.value)


def test_other_networks_are_refused(tmp_path):
    file = write(tmp_path / "w.h5", layers(), "keras1-theano")
    with pytest.raises(InputError, match=r"read for vgg16_cam only, not for ResNet.*\.safetensors"):
        Backbone("test_resnet", weights=str(file))


def test_the_wrong_number_of_layers(tmp_path):
    refuses(write(tmp_path / "w.h5", layers()[:-1], "keras1-theano"), InputError,
            "has 4 layers with weights, the network has 5: expected VGG-16-CAM")  # fmt: skip


def test_layers_in_another_order(tmp_path):
    made = layers()
    refuses(write(tmp_path / "w.h5", [*made[:3], made[4], made[3]], "keras1-theano"), InputError,
            r"layer 'dense_1' of the Keras file is \(7, 3\), where the network has 'conv', \(7, 6, 3, 3\)")  # fmt: skip


def test_layers_without_a_bias(tmp_path):
    file = write(tmp_path / "w.h5", layers(), "keras2-tensorflow")
    with h5py.File(file, "r+") as root:
        root["conv_1"].attrs["weight_names"] = [b"conv_1/kernel:0"]
    refuses(file, InputError, r"layer 'conv_1' of the Keras file has \['kernel'\], expected a kernel and a bias")


def test_other_widths_are_named_when_loaded(tmp_path, monkeypatch):
    file = write(tmp_path / "w.h5", layers(blocks=((4, 9), (6,))), "keras1-theano")
    monkeypatch.setattr("resight.models.backbone._untrained", lambda name, **options: model_with_config())
    with pytest.raises(InputError, match=r"do not fit the backbone: .*of another shape \(first 'features.2"):
        Backbone("vgg16_cam", weights=str(file))


def model_with_config():
    net = model()
    net.pretrained_cfg = {"classifier": "classifier"}
    return net


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.98])
def test_truncated(tmp_path, share):
    file = write(tmp_path / "w.h5", layers(), "keras1-theano")
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    refuses(file, WorkError, "cannot read Keras weights .*w.h5: damaged, or not an HDF5 file")


def test_flipped_bytes_are_one_line_or_read(tmp_path):
    """No checksum protects these files: what can still be read may be wrong, but nothing else escapes."""
    whole = write(tmp_path / "w.h5", layers(), "keras2-theano").read_bytes()
    random, file = np.random.default_rng(0), tmp_path / "flipped.h5"
    for _ in range(60):
        data = bytearray(whole)
        for place in random.integers(0, 8000, 5):
            data[place] ^= int(random.integers(1, 256))
        file.write_bytes(data)
        try:
            keras_state(file, model())
        except (InputError, WorkError) as error:
            assert "\n" not in str(error)


def test_text_and_missing_files(tmp_path):
    (tmp_path / "notes.h5").write_text("not weights")
    refuses(tmp_path / "notes.h5", WorkError, "damaged, or not an HDF5 file")
    refuses(tmp_path / "gone.h5", InputError, "does not exist")
    refuses(tmp_path, InputError, "is a folder")


def test_another_kind_of_hdf5_file(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as root:
        root["layers/conv/vars/0"] = np.zeros(3)  # as Keras 3 does
    refuses(tmp_path / "w.h5", WorkError, "no layer_names in it: not a weights file of Keras 1 or 2")


@pytest.mark.parametrize("kind", ["external", "soft"])
@pytest.mark.parametrize("place", ["conv_1", "conv_1/conv_1_W"])
def test_links_are_not_followed(tmp_path, kind, place):
    other = write(tmp_path / "other.h5", layers(1), "keras1-theano")
    file = write(tmp_path / "w.h5", layers(), "keras1-theano")
    with h5py.File(file, "r+") as root:
        del root[place]
        target = "conv_0/conv_0_W" if "/" in place else "conv_0"
        root[place] = h5py.ExternalLink(str(other), target) if kind == "external" else h5py.SoftLink(f"/{target}")
    refuses(file, WorkError, "w.h5: 'conv_1(_W)?' is a link, which is not followed")


def test_external_storage_and_virtual_arrays_are_not_read(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(400))
    for kind in ("external", "virtual"):
        file = write(tmp_path / f"{kind}.h5", layers(), "keras1-theano")
        with h5py.File(file, "r+") as root:
            del root["conv_1/conv_1_b"]
            if kind == "external":
                root["conv_1"].create_dataset("conv_1_b", (5,), "f4", external=[(str(tmp_path / "secret.bin"), 0, 20)])
            else:
                plan = h5py.VirtualLayout((5,), "f4")
                plan[:] = h5py.VirtualSource(str(tmp_path / "external.h5"), "conv_1/conv_1_b", (5,))
                root["conv_1"].create_virtual_dataset("conv_1_b", plan)
        refuses(file, WorkError, "conv_1/conv_1_b lies outside the file, which is not followed")


def test_a_small_file_that_claims_terabytes(tmp_path):
    file = write(tmp_path / "w.h5", layers(), "keras1-theano")
    with h5py.File(file, "r+") as root:
        del root["conv_1/conv_1_W"]
        root["conv_1"].create_dataset("conv_1_W", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")
    assert file.stat().st_size < 100_000
    refuses(file, WorkError, "w.h5: the arrays take more than 4 GiB")


def test_the_limit_is_for_all_arrays_together(tmp_path, monkeypatch):
    monkeypatch.setattr(keras, "MAX_PARAMETER_BYTES", 4 * (4 * 27 + 4 + 5 * 36 + 4))  # one number too few
    refuses(write(tmp_path / "w.h5", layers(), "keras1-theano"), WorkError, "the arrays take more than")


@pytest.mark.parametrize("data", [np.array([b"cos\nsystem"]), np.arange(5), np.zeros((1,) * 5, "f4")])
def test_only_arrays_of_numbers_are_read(tmp_path, data):
    file = write(tmp_path / "w.h5", layers(), "keras1-theano")
    with h5py.File(file, "r+") as root:
        del root["conv_1/conv_1_b"]
        root["conv_1/conv_1_b"] = data
    refuses(file, WorkError, "conv_1/conv_1_b is not an array of at most four axes of floating-point numbers")


@pytest.mark.parametrize("name", ["../conv_0", "/conv_0", "conv_0/", "", "nowhere"])
def test_names_that_lead_nowhere(tmp_path, name):
    file = write(tmp_path / "w.h5", layers(), "keras1-theano")
    with h5py.File(file, "r+") as root:
        root.attrs["layer_names"] = [name]
    refuses(file, WorkError, "is missing")


def test_a_list_that_is_too_long(tmp_path):
    file = write(tmp_path / "w.h5", layers(), "keras1-theano")
    with h5py.File(file, "r+") as root:
        del root.attrs["layer_names"]
        root.attrs.create("layer_names", np.zeros(10_001, "S1"))
    refuses(file, WorkError, r"layer_names has shape \(10001,\), expected a list of at most 10,000")


def test_without_h5py(tmp_path, monkeypatch):
    (tmp_path / "w.h5").write_bytes(b"")
    load = importlib.import_module

    def absent(name, *rest):
        if name == "h5py":
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"^reading w.h5 needs h5py: pip install 'resight\[keras\]'$"):
        read_keras(tmp_path / "w.h5")
