"""How the suite is shared among processes (pytest-xdist): who gets what, and in which order.

Each process has servers, databases and a browser of its own; nothing is shared but the machine. `script/test` does this
when the whole suite is asked for; `script/test -n 3 tests/broker` does it with a part.
"""

import re

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

#: Installations of many processes under load, killed and started again: one after the other, all in the first process
#: of the run. Side by side they would take each other's processor, and prove nothing but that.
STORMS = ("tests/faults/", "tests/invariants/test_kills")
#: In which order all else begins: what takes long first, so that no process ends with it alone.
ORDER = (
    "tests/journey/", "tests/invariants/test_model", "tests/browser/", "tests/broker/", "tests/web/",
    "tests/invariants/", "tests/storage/", "tests/test_", "tests/unit/", "tests/architecture/",
)  # fmt: skip
#: Here every test makes what it needs. Elsewhere the tests of a file share an office or a browser, and stay together.
ALONE = (*STORMS, "tests/journey/test_canary", "tests/invariants/test_model", "tests/broker/")
#: Here the tests of all files share an installation on each engine.
TOGETHER = re.compile(r"tests/journey/.*\[(embedded|full)\b")


class Sharing(LoadScopeScheduling):
    """Gives out what stays together, the long ones first, and the storms to one process."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(ALONE):
            return nodeid
        together = TOGETHER.match(nodeid)
        return f"tests/journey/ {together[1]}" if together else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        stormy = node is self.nodes[0]
        units = sorted(self.workqueue, key=_rank)  # of equals the first collected
        unit = next((unit for unit in units if unit.startswith(STORMS) == stormy), units[0])
        self.workqueue.move_to_end(unit, last=False)
        super()._assign_work_unit(node)


def _rank(unit: str) -> int:
    return next((rank for rank, start in enumerate(ORDER) if unit.startswith(start)), len(ORDER))
