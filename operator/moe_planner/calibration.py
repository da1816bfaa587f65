"""What measurements say of the planner's predictions: one factor for each line that was measured. Pure numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Measured over predicted for one line, by its name. `error`: relative, what is left after the correction."""

    name: str
    factor: float
    num_samples: int
    error: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The corrections that predictions are multiplied with; none, while nothing was measured."""

    corrections: tuple[Correction, ...] = ()

    def correction(self, name: str) -> Correction | None:
        """The correction of the line of that name, None where nothing was measured."""
        for one in self.corrections:
            if one.name == name:
                return one
        return None

    def factor(self, name: str) -> float:
        """What to multiply the prediction of that line with."""
        found = self.correction(name)
        return 1.0 if found is None else found.factor
