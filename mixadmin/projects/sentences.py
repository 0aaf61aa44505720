"""How a project stands, said once."""

from collections.abc import Mapping

from django.urls import reverse

from mixadmin.common.states import RunState
from mixadmin.common.status import Fix, Status, at, many

from .models import Project

BAD = {
    Project.Verification.WRONG_REGION: "Change the project",
    Project.Verification.NO_ACCESS: "Change the service account",
}


def project_status(
    project: Project,
    *,
    undecided: int = 0,
    states: Mapping[str, Mapping[str, int]] | None = None,
) -> Status:
    """The one sentence about a project, and the one button that mends it.

    undecided: how many jobs wait for a decision. states: what runs in it, by what it is
    called ("import"), counted by state.
    """
    verify = Fix(
        "Verify", reverse("projects:verify", args=[project.pk]), "plug", post=True
    )
    edit = reverse("projects:edit", args=[project.pk])
    if project.service_account is None:
        words = "Without one nothing can be asked of Mixpanel."
        return Status(
            "bad", "No service account", words, Fix("Choose one", edit, "key-round")
        )
    label = project.get_verification_display()
    if not project.verified_at:
        words = "Nobody has tried yet whether mixadmin can work with this project."
        return Status("idle", label, words, verify)
    detail = project.verification_detail
    if project.verification in BAD:
        label_of_fix = BAD[Project.Verification(project.verification)]
        return Status("bad", label, detail, Fix(label_of_fix, edit, "wrench"))
    if project.verification != Project.Verification.WORKS:
        return Status("bad", label, detail, verify)
    if undecided:
        where = f"{reverse('jobs:list')}?project={project.pk}&state=needs_decision"
        words = (
            f"{many(undecided, 'job')} {'waits' if undecided == 1 else 'wait'} for "
            "a decision."
        )
        fix = Fix("Decide", where, "scale", needs_editor=False)
        return Status("warn", "Needs a decision", words, fix)
    failing = {
        word: by_state.get(RunState.FAILED, 0)
        for word, by_state in (states or {}).items()
        if by_state.get(RunState.FAILED)
    }
    if failing:
        told = " and ".join(many(n, word) for word, n in failing.items())
        one = sum(failing.values()) == 1
        words = f"The last run of {told} failed."
        where = reverse(_list_of(next(iter(failing))), args=[project.pk])
        fix = Fix(
            "Look at it" if one else "Look at them",
            f"{where}?state=failed",
            "search",
            needs_editor=False,
        )
        return Status("bad", "Failing", words, fix)
    running = {
        word: sum(by_state.values()) for word, by_state in (states or {}).items()
    }
    told = " and ".join(many(n, word) for word, n in running.items() if n)
    words = f"{told}, none failing. " if told else "Nothing is imported yet. "
    return Status("good", "Works", f"{words}Verified {at(project.verified_at)}.")


def _list_of(word: str) -> str:
    return "warehouse:import_list" if word == "import" else "connectors:list"
