"""The same thing is always called the same: docs/words.md, looked for in what is shown."""

import ast
import re
from pathlib import Path

import pytest

from mixadmin.common.causes import CAUSES

ROOT = Path(__file__).resolve().parent.parent
# What is not said -> what is said instead.
NOT_SAID = {
    r"\blog(ged|ging)? ?(in|out)\b": "sign in, sign out",
    r"\bplease\b|\bsorry\b|\boops\b|\bsuccessfully\b": "what is so, and what to do",
    r"\bclick here\b": "where the link leads",
    r"\bsync (now|again|failed)\b|\bmanual syncs?\b|\b(first|last|next) sync\b": "run",
    r"\bdismiss(ed)?\b": "put aside",
    r"\bmake an? (api )?token\b": "create",
    r"\bwarehouse connections?\b|\bno such warehouse\b": "source",
    r"\bcluster config of\b": "Databricks config of",
    r"\b(denied|declined) by mixpanel\b|\brejected by mixpanel\b": "refused by Mixpanel",
    r"\brefused records?\b": "rejected records",
    r"\bn/a\b": "unknown",
}
# Words of others: what they say is quoted, what they call things is sent.
OTHERS = ("sandbox", "mixpanel", "dataprep", "migrations")


def words_of_templates():
    for path in sorted((ROOT / "templates").rglob("*.html")):
        text = re.sub(r"{%.*?%}|{{.*?}}|<[^>]*>", " ", path.read_text(), flags=re.S)
        yield path.relative_to(ROOT), text


def words_of_code():
    """Every text with a space in it that is no docstring."""
    for path in sorted((ROOT / "mixadmin").rglob("*.py")):
        if path.name == "causes.py" or set(path.parts) & set(OTHERS):
            continue
        tree = ast.parse(path.read_text())
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or id(node) in docs:
                continue
            if isinstance(node.value, str) and " " in node.value:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def words_of_causes():
    for cause in CAUSES.values():
        yield cause.code, f"{cause.title}. {cause.meaning} {cause.remedy} {cause.sign}"


@pytest.mark.parametrize("words", [words_of_templates, words_of_code, words_of_causes])
def test_nothing_is_called_otherwise_than_the_glossary_does(words):
    found = [
        f"{where}: {match[0]!r}, say: {instead}"
        for where, text in words()
        for pattern, instead in NOT_SAID.items()
        for match in [re.search(pattern, text, re.I)]
        if match
    ]
    assert not found, "\n".join(found)
