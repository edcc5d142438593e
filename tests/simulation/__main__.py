"""`python -m simulation --seeds N`."""
import sys
from pathlib import Path
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in (".", "tests", "layers/contract/src", "layers/core/src", "node_agent/src")]
import time
from simulation.world import make_setup, run
first=int(sys.argv[1]); n=int(sys.argv[2])
t=time.time(); faults=0; ev=0; sim=0
for seed in range(first, first+n):
    setup=make_setup(seed)
    r=run(setup, keep_timeline=n==1)
    faults+=sum(r.injected.values()); ev+=r.events; sim+=r.simulated_seconds
    if n==1: print("\n".join(r.timeline))
    print(seed, setup.sizes, setup.addresses, setup.serial, len(setup.faults), dict(r.moves), f"settle {r.settle_seconds:.0f}", r.events, r.violations[:3])
d=time.time()-t
print(f"{faults} faults {d:.1f} s, {1000*d/faults:.1f} ms per fault, {ev} events, {sim:.0f} simulated s")
