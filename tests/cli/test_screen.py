"""What the commands print."""

import threading
import warnings

from xpnet.cli.screen import user_warnings


def test_only_the_user_warnings_of_the_own_thread_are_kept():
    """Another thread, which loads data, may warn at the same time."""
    with warnings.catch_warnings(record=True, action="always") as shown:
        with user_warnings() as kept:
            warnings.warn("mine", stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            other = threading.Thread(target=warnings.warn, args=("theirs",))
            other.start()
            other.join()
        warnings.warn("later", stacklevel=1)
    assert kept == ["mine"]
    assert [str(warning.message) for warning in shown] == ["old", "theirs", "later"]
