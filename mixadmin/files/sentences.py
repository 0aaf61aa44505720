"""How a bucket stands, in one sentence, and the one button that mends it."""

from django.urls import reverse
from django.utils.html import format_html

from mixadmin.common.states import verification_words
from mixadmin.common.status import Fix, Status
from mixadmin.common.templatetags.ui import TONE_OF, when

from .models import SourceBucket

Verification = SourceBucket.Verification


def bucket_status(bucket: SourceBucket) -> Status:
    args = [bucket.project_id, bucket.pk]
    verify = reverse("files:bucket_verify", args=args)
    label = bucket.get_verification_display()
    if bucket.verified_at is None:
        first = Fix("Verify", verify, post=True, icon="shield-check")
        words = "Nobody has tried yet whether it can be listed and read."
        return Status("idle", label, words, first)
    sentence = format_html(
        "{} Verified {}.", verification_words(bucket), when(bucket.verified_at)
    )
    fix = None
    if bucket.verification == Verification.REFUSED:
        credentials = reverse("files:bucket_credentials", args=args)
        fix = Fix("Set new credentials", credentials, icon="key-round")
    elif bucket.verification != Verification.WORKS:
        fix = Fix("Verify again", verify, post=True, icon="shield-check")
    return Status(TONE_OF.get(bucket.verification, "warn"), label, sentence, fix)
