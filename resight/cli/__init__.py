"""The command line: a door with no logic of its own. Each command's module is imported only when it runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Toml, Yaml

from resight._version import __version__
from resight.errors import DISK, InputError, WorkError, advice, unknown

EPILOGUE = "Documentation and examples: docs/ and README.md of the project."

CONFIG = "TOML or YAML file with a table per command (of train: the options alone, also JSON); flags win."

COMMANDS = {
    "index": ("resight.cli.index:index", "Describe images and add them to a collection."),
    "search": ("resight.cli.search:search", "Find the images that look like a query."),
    "evaluate": ("resight.cli.evaluate:evaluate", "Measure retrieval: by labels, or by a published protocol."),
    "compare": ("resight.cli.compare:compare", "Compare two evaluations query by query, with intervals."),
    "table": ("resight.cli.table:table", "Measure a grid of descriptors, whitenings and steps in one run."),
    "datasets": ("resight.cli.datasets:datasets", "Public benchmarks: where to get them, and what is there."),
    "features": ("resight.cli.features:features", "A table of features of images: fractal, SIFT, descriptors, layers."),
    "layers": ("resight.cli.layers:layers", "The layers of a network, for tables of features."),
    "convert": ("resight.cli.convert:convert", "Rewrite a table in another format."),
    "merge": ("resight.cli.convert:merge", "Join the columns of two tables of the same images."),
    "concat": ("resight.cli.convert:concat", "Put the rows of tables with the same features together."),
    "map-folder": ("resight.cli.convert:map_folder", "Write a CSV of the images in class folders."),
    "group-folder": ("resight.cli.convert:group_folder", "Deal the images of a folder into folders of a few."),
    "split": ("resight.cli.split:split", "Deal labelled images out to train, val and test: by image, class or group."),
    "train": ("resight.cli.train:app", "Train a classifier, a descriptor of your own images, or a mask network."),
    "test": ("resight.cli.test:test", "Measure what was trained: a classifier, or an embedding (before and after)."),
    "classify": ("resight.cli.classify:classify", "Name what is in images, with a trained classifier."),
    "explain": ("resight.cli.explain:explain", "Heat maps: what in images speaks for a class, or for their likeness."),
    "svm": ("resight.cli.svm:svm", "Fit support vector machines on the features of a trained classifier."),
    "export": ("resight.cli.export:export", "Write a trained classifier as an ONNX file."),
    "match": ("resight.cli.match:match", "Find a template in images, videos or a camera, or say that it is absent."),
    "calibrate": (
        "resight.cli.calibrate:calibrate",
        "Fit the score of match, and its threshold, to your own pictures.",
    ),
    "bench": ("resight.cli.bench:app", "Measure template finders side by side, on tiers of difficulty."),
    "info": ("resight.cli.upkeep:info", "What is in a collection."),
    "sync": ("resight.cli.upkeep:sync", "Bring a collection up to date with its folders."),
    "remove": ("resight.cli.upkeep:remove", "Take images out of a collection (the files stay)."),
    "verify": ("resight.cli.upkeep:verify", "Check a collection's records, vectors and index."),
    "demo": ("resight.cli.demo:demo", "Index photographs and altered copies, search, write an HTML report."),
}

# Commands that keep what they have done so far, and go on after it.
KEEPING = ("index", "sync", "features", "table", "train", "explain", "calibrate", "bench")


def make_app() -> App:
    """The commands, as cyclopts sees them."""
    app = App(
        name="resight",
        help="Describe, find and compare images, with classical and deep features.",
        version=__version__,
        help_epilogue=EPILOGUE,
        default_parameter=Parameter(
            negative=(), consume_multiple=True, show_default=lambda value: None if value in (False, ()) else value
        ),
    )
    for order, (name, (place, text)) in enumerate(COMMANDS.items()):
        app.command(place, name=name, help=text, sort_key=order)

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Annotated[Path | None, Parameter(help=CONFIG)] = None,
    ) -> int:
        if config is not None and tokens[:2] in (("train", "classify"), ("train", "locate"), ("train", "embed")):
            tokens = (*tokens, "--config", str(config))  # a file of its options alone, as in the folder of a run
        elif config is not None:
            app.config = (_config(config),)
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        return int(command(*bound.args, **bound.kwargs) or 0)

    return app


def _config(file: Path) -> Toml | Yaml:
    kinds: dict[str, type[Toml] | type[Yaml]] = {".toml": Toml, ".yaml": Yaml, ".yml": Yaml}
    if file.suffix.lower() not in kinds:
        raise InputError(f"--config takes a .toml or .yaml file, got {str(file)!r}")
    if not file.is_file():
        raise InputError(f"config file {str(file)!r} does not exist")
    config = kinds[file.suffix.lower()](file)
    try:
        tables = config.config
    except Exception as error:  # whatever the parsers of two formats raise
        raise InputError(f"config file {str(file)!r} cannot be read: {' '.join(str(error).split())}") from error
    for table in tables:
        if table not in COMMANDS:
            raise unknown(f"table in {str(file)!r}:", table, COMMANDS)
    return config


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted."""
    app = make_app()
    try:
        command, bound, _ = app.meta.parse_args(list(arguments), exit_on_error=False, print_error=False)
        return int(command(*bound.args, **bound.kwargs) or 0)
    except CycloptsError as error:
        return _fail(" ".join(str(error).split()), 2)
    except InputError as error:
        return _fail(str(error), 2)
    except BrokenPipeError:
        raise
    except (WorkError, OSError) as error:
        return _fail(_sentence(error), 1)
    except MemoryError:
        return _fail("not enough memory; try a smaller --size or close other programs", 1)
    except KeyboardInterrupt:
        kept = "what was reported is safe, run the same command again to go on"
        again = kept if arguments and arguments[0] in KEEPING else "run the same command again: it begins anew"
        return _fail(f"interrupted; {again}", 130)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in DISK:
        return f"cannot write {error.filename or 'a file'}: {advice(error)}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _fail(message: str, code: int) -> int:
    from resight.show.text import visible

    print(f"resight: {visible(' '.join(message.splitlines()))}", file=sys.stderr, flush=True)
    return code


def main() -> None:
    """Entry point of the `resight` command."""
    # Threads that wait at a barrier sleep instead of spinning: with spinning, one image takes many times as long on
    # a busy machine. It must be set before torch is loaded, and is the caller's business when resight is a library.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A polite kill ends like Ctrl-C: what is done is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # any file name can be printed on any terminal
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `resight search ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
