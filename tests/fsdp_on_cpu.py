"""``paft`` with FSDP between processes on a CPU, which torch can do and accelerate turns on for accelerators only."""

import atexit

import torch
import torch.distributed.fsdp
from accelerate import PartialState
from accelerate.utils import DistributedType

from paft.cli.app import main

prepared = PartialState._prepare_backend


def prepare(self, *arguments, **options):
    backend, kind = prepared(self, *arguments, **options)
    return backend, DistributedType.MULTI_NPU if kind == DistributedType.MULTI_CPU else kind


PartialState._prepare_backend = prepare
PartialState.set_device = lambda self: setattr(self, "device", torch.device("cpu"))
torch.distributed.init_process_group("gloo")
shard, units = torch.distributed.fsdp.fully_shard, []
torch.distributed.fsdp.fully_shard = lambda module, **options: units.append(1) or shard(module, **options)
atexit.register(lambda: print(f"spread in {len(units)} units"))
main()
