"""Training on many processes and machines: each has a share of every batch, and all have the same weights.

    mpiexec -n 4 python train.py

    from xpnet import distributed
    communicator = distributed.communicator()        # MPI or NCCL; one process without a launcher
    trainer = Trainer(model, loss, optimizer, communicator=communicator)

Each process is a *rank*. It computes the gradients of its share of a batch; a *communicator* adds them
up, and every rank makes the same step. So N ranks with a batch of B samples learn what one rank with
this batch learns.

To understand the package, read in this order: `base` (what ranks can ask of each other),
`threads` (the shortest implementation: ranks that are threads), `gradients` (the sum of the gradients),
`agreement` (what makes ranks equal, and proves that they are), `mpi` and `nccl`.
"""

from xpnet.distributed.agreement import (
    broadcast_tree as broadcast_tree,
    on_root as on_root,
    require_equal as require_equal,
    together as together,
    total as total,
)
from xpnet.distributed.base import (
    Communicator as Communicator,
    Pending as Pending,
    SingleProcess as SingleProcess,
    current as current,
    has_samples as has_samples,
    share_of as share_of,
    using as using,
    without_samples as without_samples,
)
from xpnet.distributed.gradients import GradientSum as GradientSum, Totals as Totals
from xpnet.distributed.launcher import (
    Launched as Launched,
    communicator as communicator,
    for_backend as for_backend,
    launched as launched,
    local_spec as local_spec,
)
from xpnet.distributed.mpi import MPICommunicator as MPICommunicator
from xpnet.distributed.nccl import NCCLCommunicator as NCCLCommunicator
from xpnet.distributed.threads import ThreadCommunicator as ThreadCommunicator, run as run

__all__ = [
    "Communicator",
    "GradientSum",
    "Launched",
    "MPICommunicator",
    "NCCLCommunicator",
    "Pending",
    "SingleProcess",
    "ThreadCommunicator",
    "Totals",
    "broadcast_tree",
    "communicator",
    "current",
    "for_backend",
    "has_samples",
    "launched",
    "local_spec",
    "on_root",
    "require_equal",
    "run",
    "share_of",
    "together",
    "total",
    "using",
    "without_samples",
]
