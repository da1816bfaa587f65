"""The one error of the planner: what the user wrote, which rule it breaks, and what to write instead."""


class PlanError(Exception):
    """A demand that no layout can meet.

    `field` is the path as users write it, relative to a MoEDeployment's spec, e.g. `hardware.gpusPerNode`.
    """

    def __init__(self, field: str, value: object, rule: str, remedy: str) -> None:
        super().__init__(field, value, rule, remedy)
        self.field = field
        self.value = value
        self.rule = rule
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.field} = {self.value}: {self.rule}; {self.remedy}"
