# SPDX-License-Identifier: Apache-2.0
"""The daemon of a model.py run: started, and ended in every way."""

import os
import signal
import subprocess
import time

from testlib import PATIENCE

_stopped = []
signal.signal(signal.SIGTERM, lambda *_: _stopped.append(True))


def interruptible():
    """Whether the test was told to stop."""
    return bool(_stopped)


class Mount:
    def __init__(self, queue, mount, options):
        self.queue, self.mount, self.options = queue, mount, options
        self.daemon = None
        self.log = queue + ".log"

    def start(self):
        parent = os.stat(os.path.dirname(self.mount)).st_dev
        with open(self.log, "wb") as log:
            self.daemon = subprocess.Popen([os.environ["CHRONFS"], self.queue, self.mount, "-f",
                                            "-o", self.options], stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while True:
            assert self.daemon.poll() is None, self.messages()
            assert time.monotonic() < end, "the mount does not answer"
            try:
                if os.stat(self.mount).st_dev != parent and os.path.exists(self.mount + "/append"):
                    return
            except OSError:
                pass
            time.sleep(0.002)

    def messages(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def ended(self, status):
        got = self.daemon.wait(PATIENCE)
        self.daemon = None
        subprocess.run(["umount", "-l", self.mount], stderr=subprocess.DEVNULL, check=False)
        text = self.messages()
        assert got == status and "Sanitizer" not in text and "runtime error" not in text, \
            f"the daemon ended with {got}: {text}"

    def umount(self):
        done = subprocess.run(["umount", self.mount], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        self.ended(0)

    def terminate(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.ended(0)

    def kill(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.ended(-signal.SIGKILL)

    def kill_while(self, seconds):
        """Kills it while a client writes; how many of its records were acknowledged."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                fd = os.open(self.mount + "/append", os.O_WRONLY)
                number = 0
                while os.write(fd, b"sent %d" % number):
                    os.write(writer, b".")
                    number += 1
            finally:
                os._exit(0)
        os.close(writer)
        time.sleep(seconds)
        self.daemon.send_signal(signal.SIGKILL)
        count = 0
        while True:
            got = os.read(reader, 65536)
            if not got:
                break
            count += len(got)
        os.close(reader)
        os.waitpid(child, 0)
        self.ended(-signal.SIGKILL)
        return count

    def verify(self):
        done = subprocess.run([os.environ["CHRONQ"], "verify", self.queue], capture_output=True,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self):
        """Whatever has happened: nothing is left."""
        if self.daemon:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None
        subprocess.run(["umount", "-l", self.mount], stderr=subprocess.DEVNULL, check=False)
