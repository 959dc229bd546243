"""How the threads of one process wait for each other; set before torch is imported."""

import os

SPINS = "1000"


def wait_briefly() -> None:
    """Let threads that wait for others give their core away soon, unless the user has said how they wait.

    By default they spin for long: beside another busy process each waits for one that was set aside, and a picture
    takes many times as long. Without any spinning it takes longer alone. GNU OpenMP, of torch on Linux, counts spins.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        os.environ["GOMP_SPINCOUNT"] = SPINS
