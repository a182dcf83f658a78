"""Tells Terrace what happens in a playbook, and waits for hosts.

Written into the run's own folder by the runner and loaded by ansible-playbook beside
the callback that prints the log. Each event is a line of JSON in TERRACE_EVENTS.

Before the first task of a play, every host of it that is reached by SSH is waited for
until it lets us in, for at most TERRACE_WITHIN seconds: a host that was created a
moment ago may still be booting. This is done here, and not before the playbook is
started, because only Ansible knows how a host is reached once plays, group variables
and configuration have had their say.
"""
from __future__ import annotations

DOCUMENTATION = """
    name: terrace_events
    type: notification
    short_description: events for Terrace
    description: Writes events as lines of JSON and waits for hosts.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import connection_loader
from ansible.template import Templar

SSH = ("ssh", "smart", "ansible.builtin.ssh")
LONGEST = 4000  # characters of one text


def short(value):
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "terrace_events"
    CALLBACK_NEEDS_ENABLED = False
    CALLBACK_NEEDS_WHITELIST = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.events = open(os.environ["TERRACE_EVENTS"], "a", encoding="utf-8")
        self.within = float(os.environ.get("TERRACE_WITHIN", "300"))
        self.answered = set()

    def tell(self, event, **fields):
        self.events.write(json.dumps(dict(fields, event=event), default=str) + "\n")
        self.events.flush()

    def result(self, event, result):
        said = result._result
        task = result._task
        self.tell(
            event,
            host=result._host.get_name(),
            task=task.get_name(),
            path=task.get_path() or "",
            message=short(said.get("msg") or said.get("censored") or ""),
            stderr=short(said.get("stderr") or said.get("module_stderr") or ""),
        )

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self.result("failed", result)

    def v2_runner_item_on_failed(self, result):
        self.result("item_failed", result)

    def v2_runner_on_unreachable(self, result):
        self.result("unreachable", result)

    def v2_playbook_on_stats(self, stats):
        for host in sorted(stats.processed):
            s = stats.summarize(host)
            self.tell(
                "recap", host=host, ok=s["ok"], changed=s["changed"], failed=s["failures"],
                unreachable=s["unreachable"], skipped=s["skipped"],
            )

    # Waiting for hosts.

    def v2_playbook_on_play_start(self, play):
        try:
            waiting = self.ssh_hosts(play)
        except Exception as e:  # how hosts are reached could not be told: Ansible will
            self._display.warning("Terrace does not wait for hosts: %s" % e)
            return
        if not waiting:
            return
        deadline = time.monotonic() + self.within
        with ThreadPoolExecutor(max_workers=10) as pool:
            said = dict(zip(waiting, pool.map(lambda h: self.wait(h, waiting[h], deadline), waiting)))
        silent = {host: why for host, why in said.items() if why}
        for host, why in silent.items():
            self.tell("silent", host=host, message=short(why))
        if silent:
            self._display.error("no answer from %s" % ", ".join(sorted(silent)))
            self.events.close()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(4)  # an exception in a callback would only be a warning

    def ssh_hosts(self, play):
        """Returns, by host, the command that logs in and does nothing."""
        variables = play.get_variable_manager()
        found = {}
        for host in variables._inventory.get_hosts(play.hosts):
            name = host.get_name()
            if name in self.answered:
                continue
            v = variables.get_vars(play=play, host=host)
            templar = Templar(loader=play.get_loader(), variables=v)

            def say(*names, default=None):
                for n in names:
                    if v.get(n) is not None:
                        return templar.template(v[n])
                return default

            connection = say("ansible_connection", default=play.connection or C.config.get_config_value("DEFAULT_TRANSPORT"))
            if connection not in SSH:
                continue
            connection_loader.get("ssh", class_only=True)  # makes its options known

            def option(key):
                value = C.config.get_config_value(key, plugin_type="connection", plugin_name="ssh", variables=v)
                return templar.template(value) if value else ""

            command = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
            for key in ("ssh_args", "ssh_common_args", "ssh_extra_args"):
                command += shlex.split(str(option(key) or ""))
            command += ["-o", "ControlPath=" + os.environ["TERRACE_CONTROL_PATH"]]
            port = say("ansible_port", "ansible_ssh_port", default=play.port or option("port"))
            user = say("ansible_user", "ansible_ssh_user", default=play.remote_user or option("remote_user"))
            key = say("ansible_private_key_file", "ansible_ssh_private_key_file", default=option("private_key_file"))
            if port:
                command += ["-o", "Port=%d" % int(port)]
            if user:
                command += ["-o", "User=%s" % user]
            if key:
                command += ["-o", "IdentityFile=%s" % os.path.expanduser(key)]
            address = str(say("ansible_host", "ansible_ssh_host", default=name))
            if address.startswith("-"):
                raise ValueError("%r is not an address" % address)
            if say("ansible_password", "ansible_ssh_pass") is not None:
                continue  # a password cannot be typed here
            found[name] = command + ["--", address, "true"]
        return found

    def wait(self, host, command, deadline):
        """Returns None when the host let us in, otherwise what it said last."""
        pause, shown = 0.2, time.monotonic()
        while True:
            left = max(1.0, deadline - time.monotonic())
            try:
                # ssh may leave a master process behind that keeps its standard error
                # open: it goes to a file, whose end is not waited for.
                said = self.once(command, min(left, 20))
            except subprocess.TimeoutExpired:
                said = "no answer in time"
            except OSError as e:
                return "ssh cannot be started: %s" % e
            if said is None:
                self.answered.add(host)
                return None
            if "Host key verification failed" in said or "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
                return "its host key is not the one it had before, although nothing was created or replaced: " + said.splitlines()[-1]
            now = time.monotonic()
            last = (said.strip().splitlines() or ["no answer"])[-1]
            if now >= deadline:
                return last
            if now - shown > 10:
                shown = now
                self._display.display("waiting for %s: %s" % (host, last))
            time.sleep(min(pause, max(0.0, deadline - now)))
            pause = min(2 * pause, 2.0)

    def once(self, command, timeout):
        import tempfile

        with tempfile.TemporaryFile() as err:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, timeout=timeout, check=False
            ).returncode
            err.seek(0)
            said = err.read().decode("utf-8", "replace")
        # 255 is ssh's own failure; anything else was said by the host, so it answers.
        return said or "ssh failed" if code == 255 else None
