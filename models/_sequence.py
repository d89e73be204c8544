"""The order in which a policy that goes round serves the stages."""

from intersection.config import IntersectionConfig


def sequence(config: IntersectionConfig) -> tuple[int, ...]:
    """List stages, as indices, that together serve every call: those of the first pattern, then what it leaves unserved."""
    tables = config.tables
    by_name = {stage.name: at for at, stage in enumerate(config.stages)}
    order = [by_name[name] for name in config.patterns[0].sequence] if config.patterns else []
    for call, rescue in enumerate(tables.rescue):
        if rescue >= 0 and not any(tables.serves[stage] >> call & 1 for stage in order):
            order.append(rescue)
    return tuple(order)


class Round:
    """Where a policy stands in its sequence, found again whenever the gate has chosen otherwise."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self.order = order
        self._entry = 0

    def entry(self, stage: int) -> int:
        """Find the entry that runs, given the running stage; one that stands outside the sequence leaves the entry as it was."""
        for ahead in range(len(self.order)):
            entry = (self._entry + ahead) % len(self.order)
            if self.order[entry] == stage:
                self._entry = entry
                break
        return self._entry

    def after(self, entry: int) -> tuple[int, ...]:
        """List the entries that follow one, in order, up to and without itself."""
        return tuple((entry + ahead) % len(self.order) for ahead in range(1, len(self.order)))
