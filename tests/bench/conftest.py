import shutil

import pytest

from bench import measure


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    return measure.build_sink(tmp_path_factory.mktemp("sink"))


@pytest.fixture
def sink(program):
    with measure.sink(program) as there:
        yield there
