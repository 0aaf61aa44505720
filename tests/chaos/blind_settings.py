"""The product without its protection: what may have happened is just sent again.

For the one test that must see doubles, or the test beside it would prove nothing.
"""

from mixadmin.settings import *  # noqa: F403

JOBS_RETRY_BLINDLY = True
