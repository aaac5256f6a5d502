"""All workloads, in the order of the table."""

from ..spec import Workload
from . import eager_ops, elementwise, layers, matmul, models, overhead, training

WORKLOADS: list[Workload] = [
    *elementwise.WORKLOADS,
    *matmul.WORKLOADS,
    *layers.WORKLOADS,
    *overhead.WORKLOADS,
    *training.WORKLOADS,
    *models.WORKLOADS,
]
EAGER: list[Workload] = eager_ops.EAGER_OPS
