"""Rounds on a fake clock. Trainings do what a time limit makes of them: they end in their share of the time."""

from math import ceil

from raysearch.fit.layout import Division, Facts, Times


class FakeWork:
    """``speed(seconds)`` gives the true time of an image; ``start_s`` and ``finish_s`` are the other true times."""

    def __init__(self, facts: Facts, division: Division, speed, *, spent_s=10.0, start_s=4.0, finish_s=20.0):
        self.facts, self.division, self.speed = facts, division, speed
        self.start_s, self.finish_s, self.now = start_s, finish_s, spent_s
        self.refits, self.exported = [], 0
        self.passes, self.sets, self.rounds, self.said = [], [], [], []

    @property
    def done(self):
        return self.passes

    @property
    def is_exported(self):
        return self.exported == len(self.passes)

    def spent_s(self):
        return self.now

    def run_round(self, round_, time_left_s):
        self.rounds.append(round_)
        began, train = self.now, self.division.count_train(self.facts)
        waves = ceil(round_.trials * self.division.trainings / self.facts.slots)
        seen, seconds = [], []
        for wave in range(waves):
            share_s = (began + time_left_s - self.now) / (waves - wave)
            self.now += self.start_s
            limit_s = min(round_.time_limit_s, share_s, began + time_left_s - self.now)
            spent_s = images = 0.0
            while images < round_.epochs * train and spent_s < limit_s:
                step_s = self.speed(self.now + spent_s)
                images, spent_s = images + train / 300, spent_s + step_s * train / 300
            self.now += spent_s
            seen.append(images)
            seconds.append(spent_s)
        self.passes += [round(sum(seen) / len(seen))] * round_.trials
        image_s = sum(seconds) / sum(seen)
        return Times(image_s, (self.now - began - sum(seconds)) / waves, 0.0)

    def refit(self, times, time_left_s):
        self.refits.append(time_left_s)
        self.now += min(time_left_s, len(self.passes) * max(self.passes) * self.speed(self.now) / self.facts.slots)
        self.finish()
        return True

    def finish(self):
        self.now += self.finish_s
        self.exported = len(self.passes)
        self.sets.append(self.now)
