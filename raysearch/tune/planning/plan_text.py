"""The text of a plan: one labelled line for each of trials, data, epochs, time, memory and disk."""

from raysearch.train.resource_check import Cost
from raysearch.tune.planning.plan import Plan
from raysearch.tune.planning.units import format_bytes, format_count, format_duration


def format_plan(plan: Plan) -> list[str]:
    """The lines of the plan, without its notes. A plan without trials has the lines for trials and data only."""
    rows = [("trials", _describe_trials(plan)), ("data", _describe_data(plan))]
    if plan.trials.examples:
        rows += [("epochs", _describe_epochs(plan)), ("time", _describe_time(plan))]
        rows += [("memory", _describe_memory(plan)), ("disk", _describe_disk(plan))]
    rows += [(name, _describe_backbone(plan, name, plan.costs[name])) for name in _list_backbones(plan)]
    width = max(len(label) for label, _ in rows)
    return [f"{label.ljust(width)}  {text}" for label, text in rows]


def _list_backbones(plan: Plan) -> list[str]:
    return list(dict.fromkeys(trial.backbone for trial in plan.trials.examples))


def _describe_trials(plan: Plan) -> str:
    resources = plan.resources
    workers = format_count(resources.workers, "worker")
    cpus = format_count(resources.cpus_per_worker, "CPU")
    gpus = f" and {format_count(resources.gpus_per_worker, 'GPU')}" if resources.gpus_per_worker else ""
    folds, at_once = ("", "at once") if plan.folds == 1 else (f" with {plan.folds} folds each", "trainings at once")
    return f"{plan.trials.count}{folds}; {plan.at_once} {at_once}, {workers} each, {cpus}{gpus} per worker"


def _describe_data(plan: Plan) -> str:
    splits = []
    for split, images in plan.images.items():
        per_class = f"{min(images)}" if min(images) == max(images) else f"{min(images)} to {max(images)}"
        splits.append(f"{split} {sum(images)} ({per_class} per class)")
    folds = "" if plan.folds == 1 else f", in each of {plan.folds} folds"
    return f"{len(plan.classes)} classes; {', '.join(splits)}{folds}"


def _describe_epochs(plan: Plan) -> str:
    text, limit, hours = f"{plan.epochs:.0f}", plan.search.timeout_s, plan.hours
    if plan.least_epochs < plan.epochs:
        text += f"; about {plan.least_epochs:.0f} {_when_stopped_early(plan)}"
    if limit and hours and hours.least * 3600 > limit:
        text += f"; about {plan.epochs * limit / 3600 / hours.about:.0f} fit in search.timeout_s"
    return text


def _describe_time(plan: Plan) -> str:
    hours, limit = plan.hours, plan.search.timeout_s
    capped = f"; search.timeout_s stops the search after {format_duration(limit / 3600)}" if limit else ""
    if hours is None:
        return f"unknown ({plan.missing}){capped}"
    text = f"about {format_duration(hours.about)}"
    if hours.least < hours.about:
        text += f"; {format_duration(hours.least)} {_when_stopped_early(plan)}"
    if hours.most > 1.1 * hours.about:
        text += f"; {format_duration(hours.most)} if every trial takes as long as the longest"
    return text + (capped if limit and limit / 3600 < hours.most else "")


def _when_stopped_early(plan: Plan) -> str:
    return f"if {plan.search.scheduler} stops as many trials as expected"


def _describe_memory(plan: Plan) -> str:
    largest = plan.largest
    if plan.resources.gpus_per_worker:
        needed = plan.costs[largest.backbone].training_bytes(largest)
        return f"up to {format_bytes(needed)} of GPU memory per worker ({largest.backbone}, in float32)"
    worker, workers = plan.estimate_memory(largest), plan.at_once * plan.resources.workers
    text = f"up to {format_bytes(worker)} per worker ({largest.backbone})"
    shares = [share for share in plan.capacity.shares if share.memory_bytes is not None]
    fullest = max(shares, key=lambda share: min(share.workers, workers), default=None)
    if fullest and fullest.memory_bytes:
        used = format_bytes(min(fullest.workers, workers) * worker)
        text += f", {used} of a node's {format_bytes(fullest.memory_bytes)}"
    return text


def _describe_disk(plan: Plan) -> str:
    live, kept, free = map(format_bytes, (plan.live_bytes, plan.kept_bytes, plan.free_bytes))
    return f"{live} for running trials, {kept} for results; {free} free"


def _describe_backbone(plan: Plan, name: str, cost: Cost) -> str:
    trial = next(trial for trial in plan.trials.examples if trial.backbone == name)
    stage = trial.schedule[0]
    batches = sum(plan.images["train"]) // (stage.batch_size * plan.resources.workers)
    text = f"{cost.parameters / 1e6:.2g} M parameters, checkpoints of {format_bytes(cost.checkpoint_bytes)}"
    if cost.seconds is None:
        return text
    # A smaller batch than the training's was measured: its time per pixel is an upper bound.
    bound = "at most " if cost.seconds.batch_size < stage.batch_size else ""
    return f"{text}, {bound}{format_duration(batches * cost.batch_s(stage) / 3600)} per epoch"
