"""The suites that every broker behind the ports passes, on the simulated one."""

from libs.streaming.tests.conftest import line as line
from libs.streaming.tests.test_broker_conformance import *  # noqa: F403
from libs.streaming.tests.test_fold_conformance import *  # noqa: F403
from libs.streaming.tests.test_runner_conformance import *  # noqa: F403
