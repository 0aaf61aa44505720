"""Calls as curl, to be passed on: what is secret stands as a shell variable."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

OURS = "Authorization: Token $MIXADMIN_TOKEN"
MIXPANEL = "$MIXPANEL_USERNAME:$MIXPANEL_SECRET"


class Variable(str):
    """A value of a body that is not written out but read from the environment."""


def to_mixadmin(method: str, path: str, body: Mapping[str, Any] | None = None) -> str:
    """A call of our REST API. The address is a variable too: $MIXADMIN_URL."""
    return _curl(method, f'"$MIXADMIN_URL{path}"', [f'-H "{OURS}"'], body)


def to_mixpanel(method: str, url: str, body: Mapping[str, Any] | None = None) -> str:
    """The call of Mixpanel's API that comes of it."""
    return _curl(method, shlex.quote(url), [f'-u "{MIXPANEL}"'], body)


def _curl(
    method: str, url: str, options: list[str], body: Mapping[str, Any] | None
) -> str:
    lines = [f"curl -X {method} {url}", *options]
    if body is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d {_quoted(body)}"]
    return " \\\n  ".join(lines)


def _quoted(body: Mapping[str, Any]) -> str:
    """The body as one word of the shell. Only variables are opened in it."""
    variables: list[str] = []

    def marked(value: Any) -> Any:
        if isinstance(value, Variable):
            variables.append(re.sub(r"\W", "_", value.upper()))
            return f"\x00{len(variables) - 1}\x00"
        if isinstance(value, Mapping):
            return {str(key): marked(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [marked(item) for item in value]
        return value

    text = json.dumps(marked(body), indent=2, ensure_ascii=False)
    quoted = "'" + text.replace("'", "'\\''") + "'"
    return re.sub(
        r"\\u0000(\d+)\\u0000", lambda m: f"'\"${variables[int(m[1])]}\"'", quoted
    )
