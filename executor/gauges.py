"""What an executor shows of its sandboxes, once a second: state, memory, who waits.

Not here: what is counted as it happens (`launch`, `supply`, `ledger`).
"""

from executor.supply import Supply
from shared import metrics
from shared.events import Runtime


def show(supply: Supply) -> None:
    """Bring the gauges up to date; a runtime without sandboxes shows 0."""
    busy, idle = supply.pool.count_by(_runtime_of)
    generic = supply.nursery.count_by_runtime()
    for runtime in Runtime:
        metrics.SANDBOXES.labels("busy", runtime.value).set(busy[runtime])
        metrics.SANDBOXES.labels("idle", runtime.value).set(idle[runtime])
        metrics.SANDBOXES.labels("generic", runtime.value).set(generic[runtime])
    metrics.SANDBOXES_MAX.set(supply.pool.sandboxes_max)
    metrics.SANDBOX_MEMORY.labels("function").set(supply.pool.memory_mb << 20)
    metrics.SANDBOX_MEMORY.labels("generic").set(supply.nursery.memory_mb << 20)
    metrics.SANDBOX_MEMORY_BUDGET.set(supply.pool.memory_mb_max << 20)
    metrics.INVOCATIONS_WAITING.set(supply.waiting_count)


def _runtime_of(key: tuple[object, ...]) -> object:
    return key[2]
