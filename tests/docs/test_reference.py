"""The reference: no public name is missing from it, nor any flag; and each class and function has an example."""

import inspect
import re

import pytest
import typer

from docs.builder import names, reference
from tests.test_exported_members import PUBLIC
from xpnet.cli.commands import app


def test_it_is_of_all_public_modules():
    assert set(names.PUBLIC) == set(PUBLIC)


def test_every_public_name_is_in_one_chapter():
    described = [path for found in names.contents().values() for path in found]
    assert names.missing() == set()
    assert len(described) == len(set(described))
    assert all(names.contents().values())


@pytest.mark.parametrize("chapter", names.CHAPTERS, ids=lambda chapter: chapter.page)
def test_a_chapter_describes_its_names(chapter):
    text = reference.chapter(chapter)
    for path in names.contents()[chapter.page]:
        assert re.search(
            rf"^\.\. auto(class|function|data):: {re.escape(path)}$", text, re.MULTILINE
        )


def test_a_name_is_described_where_it_is_shortest():
    assert "xpnet.Conv2d" in names.paths()
    assert names.paths()["xpnet.Conv2d"] == ("xpnet.layers.Conv2d",)
    assert names.links()["F.exp"] == "xpnet.functions.exp"
    assert names.links()["Conv2d"] == "xpnet.Conv2d"
    assert "mean_squared_error" not in names.links()  # a loss and a metric


def test_every_flag_is_on_the_page_of_the_command_line():
    page = reference.command_line()
    for name, command in typer.main.get_command(app).commands.items():
        assert f"## xpnet {name}\n" in page
        for parameter in command.params:
            if getattr(parameter, "hidden", False):
                continue
            for flag in parameter.opts:
                assert (
                    f"`{flag}" in page
                    or f", {flag}" in page
                    or parameter.param_type_name == "argument"
                )


def test_every_public_class_and_function_has_an_example():
    values = {path: names.value_of(path) for path in names.paths()}
    without = [
        path
        for path, value in values.items()
        if hasattr(value, "__name__") and ">>>" not in (inspect.getdoc(value) or "")
    ]
    assert without == []
