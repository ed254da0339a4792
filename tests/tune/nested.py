"""A Tune search on two CPUs, whose trials have two workers each: Ray's documented nesting, and ours. Prints JSON lines.

    python nested.py plain|ours stop|slow FOLDER

``stop``: the scheduler stops the first of two trials at its first result. ``slow``: the driver takes twelve seconds for
each result of one trial. If nothing happens for `PATIENCE_S` after the last event, the script prints the event "hangs"
with the number of placement groups that still hold resources, and exits.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from raysearch.tune.on_ray import cluster

if __name__ == "__main__":
    os.environ.update(cluster.SETTINGS)  # before ray is imported

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

PATIENCE_S = {"plain": 40.0, "ours": 240.0}
"""Without an event; ours also has to start a second trial in this time."""
SLOWNESS_S = 12.0
EPOCHS = 3
SPACE = {
    "study": "nested",
    "data": {"source": "digits", "train_per_class": 4, "held_out_per_class": 4},
    "resources": {"workers": 2},
    "search": {"sampler": "random", "scheduler": "none", "max_failures": 0},
    "trial": {
        "backbone": "wrn_10_1",
        "image_size": 16,
        "epochs": EPOCHS,
        "batch_size": 10,
        "augment": {"policy": "none", "crop_padding": 2},
    },
}
began = time.monotonic()
last_event = None


def say(event, **facts):
    global last_event
    last_event = time.monotonic()
    line = json.dumps({"event": event, "s": round(time.monotonic() - began, 2), **facts})
    os.write(1, f"{line}\n".encode())  # whole, whichever thread speaks


def standing_groups():
    """Placement groups that hold resources, by id."""
    return {name for name, group in ray.util.placement_group_table().items() if group["state"] == "CREATED"}


class StopsTheFirst(FIFOScheduler):
    """Stops one trial at its first result, and says when what it held is free."""

    def __init__(self):
        super().__init__()
        self.has_stopped = False

    def set_search_properties(self, metric, mode, **spec):
        return True

    def on_trial_result(self, tune_controller, trial, result):
        if self.has_stopped:
            return TrialScheduler.CONTINUE
        self.has_stopped = True
        threading.Thread(target=watch, args=(standing_groups(),), daemon=True).start()
        return TrialScheduler.STOP


def watch(groups):
    say("stopped", groups=len(groups))
    while groups & standing_groups():
        time.sleep(0.05)
    say("freed")


def give_up(patience_s):
    while last_event is None or time.monotonic() - last_event < patience_s:
        time.sleep(0.5)
    say("hangs", groups=len(standing_groups()), free_cpus=ray.available_resources().get("CPU", 0))
    os._exit(0)


def plain(case, folder):
    import ray.train
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    class Slow(tune.Callback):
        def on_trial_result(self, iteration, trials, trial, result, **info):
            say("result", trial=trial.config["number"], epoch=result["epoch"])
            if case == "slow":
                time.sleep(SLOWNESS_S)

    def worker(config):
        for epoch in range(1, EPOCHS + 1):
            time.sleep(0.1)
            ray.train.report({"epoch": epoch})

    def trial(config):
        TorchTrainer(
            worker,
            train_loop_config={},
            scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                name=f"train-{config['number']}", storage_path=str(folder), callbacks=[TuneReportCallback()]
            ),
        ).fit()

    tune.Tuner(
        tune.with_resources(trial, {"memory": 1}),
        param_space={"number": tune.grid_search([0, 1] if case == "stop" else [0])},
        tune_config=tune.TuneConfig(
            scheduler=StopsTheFirst() if case == "stop" else None, max_concurrent_trials=1, metric="epoch", mode="max"
        ),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder), verbose=0, callbacks=[Slow()]),
    ).fit()


def ours(case, folder):
    from raysearch.paths import StudyPaths
    from raysearch.space import space_from
    from raysearch.tune.on_ray import run

    class Listener:
        def started(self, number, config, epochs_done):
            say("started", trial=number)

        def reported(self, number, report):
            say("result", trial=number, epoch=report["epoch"])
            if case == "slow":
                time.sleep(SLOWNESS_S)

        def ended(self, number, result):
            say("ended", trial=number, state=result["state"], epochs=result["epochs_done"])

        def interrupted(self, number, reason):
            say("interrupted", trial=number, reason=reason)

        def estimated(self, ensemble): ...

        def noted(self, text): ...

    if case == "stop":
        run.build_scheduler = lambda search: StopsTheFirst()
    values = {**SPACE, "search": {**SPACE["search"], "trials": 2 if case == "stop" else 1}}
    folder.mkdir(parents=True, exist_ok=True)
    run.run_trials(space_from(values, "nested"), StudyPaths(folder), 1, Listener())


if __name__ == "__main__":
    way, case, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3]).resolve()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    threading.Thread(target=give_up, args=[PATIENCE_S[way]], daemon=True).start()
    {"plain": plain, "ours": ours}[way](case, folder)
    ended = time.monotonic()
    while ray.available_resources().get("CPU", 0) < 2 and time.monotonic() - ended < 20:
        time.sleep(0.05)
    say("done", free_cpus=ray.available_resources().get("CPU", 0), freed_s=round(time.monotonic() - ended, 2))
    os._exit(0)
