# SPDX-License-Identifier: Apache-2.0
"""Writers, ship, fetch and servers killed; then source, stream and replica are equal record for record.

SEED repeats the choices of a run; KILLS is how many (20).
"""

import os
import random

from killing import kill_run
from support import Case

SEED = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(31))
KILLS = int(os.environ.get("KILLS") or 20)


class Kills(Case):
    def test_everything_is_killed_and_nothing_is_lost_or_doubled(self):
        print(f"# SEED={SEED} KILLS={KILLS}", flush=True)
        kill_run(self, random.Random(SEED), KILLS)
