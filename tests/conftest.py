from pathlib import Path

import pytest
import torch
from configs import KINDS, config_for
from hypothesis import settings

from unetseg import SegmentationConfig

torch.set_num_threads(1)  # on two cores the default number made the tests six times slower
settings.register_profile("unetseg", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("unetseg")


@pytest.fixture(scope="session", params=KINDS)
def config(request: pytest.FixtureRequest) -> SegmentationConfig:
    """One config for each kind of task."""
    return config_for(request.param)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures beside the repository, which a fresh clone does not have."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder
