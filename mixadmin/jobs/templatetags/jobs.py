"""Tags about jobs: `{% load jobs %}`."""

from django import template

from mixadmin.jobs.models import Job
from mixadmin.jobs.sentences import sentence_of

register = template.Library()


@register.simple_tag
def job_sentence(job: Job) -> str:
    """{% job_sentence job %}: how it stands, in one sentence."""
    return sentence_of(job)
