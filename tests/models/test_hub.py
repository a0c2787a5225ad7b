"""Published weights without a network: one line, soon, and nothing else on the screen."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import warnings

import pytest
import timm
from huggingface_hub import constants

from resight.errors import InputError, WorkError
from resight.models import Backbone, hub

ADVICE = ("; give a weights file (--weights FILE), or take a backbone whose weights are a package, such as "
          "tf_efficientnet_lite0 (--weights package)")  # fmt: skip


def refuses(monkeypatch, error, answers):
    """timm talks, and raises this."""

    def create(name, pretrained=False, **options):
        assert (name, pretrained, constants.HF_HUB_OFFLINE) == ("resnet50", True, not answers)
        logging.getLogger("huggingface_hub").warning("Retrying in 8s [Retry 5/5].")
        logging.getLogger("timm.models._builder").warning("something")
        warnings.warn("unauthenticated", stacklevel=1)
        raise error

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(hub, "_answers", lambda: answers)


def test_no_network_is_one_line(monkeypatch, capsys, caplog):
    refuses(monkeypatch, OSError("An error happened while trying to locate"), answers=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(WorkError) as caught:
            Backbone("resnet50", weights="hub")
    assert str(caught.value) == (
        f"cannot download timm's weights for 'resnet50': {constants.ENDPOINT} does not answer, and they are not in "
        f"the cache{ADVICE}"
    )
    assert capsys.readouterr().err == "" and caplog.records == []
    assert constants.HF_HUB_OFFLINE is False and logging.root.manager.disable == logging.NOTSET


def test_a_server_that_answers_with_an_error(monkeypatch):
    refuses(monkeypatch, OSError(f"403 Forbidden: {'gated ' * 60}\nhelp"), answers=True)
    with pytest.raises(WorkError) as caught:
        Backbone("resnet50", weights="hub")
    said = str(caught.value)
    assert said.startswith("cannot download timm's weights for 'resnet50': 403 Forbidden: gated gated")
    assert said.endswith(f"gated ...{ADVICE}") and "\n" not in said  # whole words


def test_what_is_in_the_cache_is_taken_without_a_network(monkeypatch):
    model = timm.create_model("test_resnet")

    def create(name, pretrained):
        assert constants.HF_HUB_OFFLINE  # so that huggingface_hub looks into its cache at once
        return model

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(hub, "_answers", lambda: False)
    assert hub.published("test_resnet") is model


def test_a_network_that_has_no_published_weights():
    """timm knows the architecture without weights: it must refuse, not start from chance."""
    name = next(n for n in timm.list_models("resnet*") if not timm.get_pretrained_cfg(n).has_weights)
    with pytest.raises(InputError, match=f"timm publishes no weights for '{name}': give a weights file"):
        Backbone(name, weights="hub")


def test_nothing_of_the_libraries_reaches_the_screen(tmp_path):
    """In a process of its own, with a server that is not there: a port of this machine on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: whoever connects is refused
        code = "from resight.models import Backbone\ntry:\n    Backbone('resnet18', weights='hub')\n" \
               "except RuntimeError as error:\n    print(error)"  # fmt: skip
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        given = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "NO_PROXY": "*"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=given, timeout=120)
    assert done.stderr == ""
    assert done.stdout.startswith(f"cannot download timm's weights for 'resnet18': {address} does not answer")
    assert done.stdout.count("\n") == 1
