"""The end of the tour: what a newcomer types next."""

from demo.tour import NAME, Tour

LINES = (
    "export PATH=$PWD/.venv/bin:$PATH KUBECONFIG=$(.venv/bin/moe-local kubeconfig)",
    "moe-local kubectl get moed,moest,pods -o wide         # or a kubectl of your own",
    "moe-local kubectl explain moed.spec",
    "kubectl-moe status; kubectl-moe map",
    f"curl $(moe-local url {NAME}-gateway)/v1/models",
    "moe-local gpu fail node-00 0 --how device             # a lane's head this time; `gpu heal` repairs it",
    "moe-local node stop node-05                           # power loss; `node start` brings it back",
    "moe-local down",
)


def tell_what_next(tour: Tour) -> None:
    """Commands that work now."""
    tour.screen.title("The cluster stays up. What to type next")
    for line in LINES:
        tour.screen.say(line)
