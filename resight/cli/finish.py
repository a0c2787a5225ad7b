"""`resight train finish`: a training that was stopped, or died, becomes a run to test and use."""

from __future__ import annotations

import json as json_module
from pathlib import Path


def finish(run: Path, /, *, json: bool = False) -> int:
    """Take the best epoch so far of a training that was stopped as its result.

    The run is then finished, can be tested and used, and --resume does not go on with it any more. Of a run that has
    finished, lost weights (model.safetensors) are restored from its best checkpoint.

    Parameters
    ----------
    run
        Folder of a training run.
    json
        Print the record of the run as JSON, and nothing else.
    """
    from resight.cli.train import print_end, print_line
    from resight.cli.train_embed import print_embedded
    from resight.cli.train_locate import print_located
    from resight.train.embed_runs import EmbedRun
    from resight.train.finishing import finish_run
    from resight.train.locate_runs import LocateRun

    made = finish_run(run, tell=(lambda text: None) if json else print_line)
    if json:
        print(json_module.dumps({"folder": str(made.folder), **made.record}, indent=1))
    elif isinstance(made, LocateRun):
        print_located(made)
    elif isinstance(made, EmbedRun):
        print_embedded(made)
    else:
        print_end(made)
    return 0
