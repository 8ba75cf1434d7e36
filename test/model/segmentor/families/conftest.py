"""Tiny models of each family on disk."""

import pytest

from test.tiny_families import lively


@pytest.fixture(scope="session")
def family_directory(tmp_path_factory):
    """A function from a model type to the directory of a tiny model."""
    made = {}

    def directory(model_type: str) -> str:
        if model_type not in made:
            made[model_type] = str(tmp_path_factory.mktemp(model_type))
            lively(model_type).save_pretrained(made[model_type])
        return made[model_type]

    return directory
