# SPDX-License-Identifier: Apache-2.0
"""A result of unittest whose tests are lines of TAP as they end."""

import signal
import unittest


def shown(test):
    """Its name without the class; with what distinguishes it, if it is a part of a test."""
    return str(test).split(" (")[0] if not hasattr(test, "test_case") else test.id().split(".")[-1]


class Tap(unittest.TestResult):
    count = 0

    def line(self, good, test, reason=None):
        self.count += 1
        skip = "" if reason is None else f" # SKIP {reason}"
        print(f"{'ok' if good else 'not ok'} {self.count} - {shown(test)}{skip}", flush=True)

    def failed(self, test, error):
        self.line(False, test)
        for line in self._exc_info_to_string(error, test).splitlines():
            print("# " + line, flush=True)

    def addSuccess(self, test):
        self.line(True, test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line(True, test, reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.failed(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.failed(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed(subtest, err)


def run(module, wanted):
    """Runs the tests of a module, or those whose name has one of these texts.  Returns the exit status."""
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{part}*" for part in wanted] or None
    suite = loader.loadTestsFromName(module)
    result = Tap()

    def ended(*_):
        result.stop()
        raise SystemExit  # the test that runs fails, and cleans up

    signal.signal(signal.SIGTERM, ended)
    suite.run(result)
    print(f"1..{result.count}")
    return 0 if result.count and result.wasSuccessful() else 1
