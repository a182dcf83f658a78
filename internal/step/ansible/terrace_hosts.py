"""Says how hosts are known, and waits for them.

Every host of the inventory is known to SSH by its name there and not by an address that
another one may have tomorrow: what TERRACE_SSH says, and the name as HostKeyAlias, is
put after the arguments for SSH that are the host's already. Whoever wrote those has the
first word.

Before the first task of a play, every host of it that is reached by SSH is waited for
until it lets us in, for at most TERRACE_WITHIN seconds: a host that was created a
moment ago may still be booting. This is done here, and not before the playbook is
started, because only Ansible knows how a host is reached once plays, group variables
and configuration have had their say.
"""
from __future__ import annotations

DOCUMENTATION = """
    name: terrace_hosts
    type: notification
    short_description: hosts of Terrace
    description: Says how hosts are known to SSH, and waits for them.
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import connection_loader
from ansible.template import Templar

SSH = ("ssh", "smart", "ansible.builtin.ssh")
ARGS = "ansible_ssh_common_args"  # for ssh and for copying
OURS = "terrace_ssh_args"  # what we add to that
REFUSED_KEY = ("Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED")


def alias(name):
    """The name by which a host's keys are known, as in keys.go."""
    if re.fullmatch("[a-z0-9][a-z0-9._-]*", name):
        return name
    return "host-" + hashlib.sha256(name.encode()).hexdigest()[:24]


class Reach:
    """How one host is reached."""

    def __init__(self, play, host):
        variables = play.get_variable_manager()
        self.name = host.get_name()
        self.play = play
        self.know(variables.get_vars(play=play, host=host))

    def know(self, variables):
        self.vars = variables
        self.templar = Templar(loader=self.play.get_loader(), variables=variables)

    def say(self, *names, default=None):
        for n in names:
            if self.vars.get(n) is not None:
                return self.templar.template(self.vars[n])
        return default

    def option(self, key):
        value = C.config.get_config_value(key, plugin_type="connection", plugin_name="ssh", variables=self.vars)
        return self.templar.template(value) if value else value

    def by_ssh(self):
        transport = self.play.connection or C.config.get_config_value("DEFAULT_TRANSPORT")
        return self.say("ansible_connection", default=transport) in SSH

    def password(self):
        return self.say("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")

    def target(self):
        """The address, the port and the arguments that say where to and as whom."""
        port = self.say("ansible_port", "ansible_ssh_port", default=self.play.port or self.option("port"))
        user = self.say("ansible_user", "ansible_ssh_user", default=self.play.remote_user or self.option("remote_user"))
        key = self.say("ansible_private_key_file", "ansible_ssh_private_key_file", default=self.option("private_key_file"))
        args = []
        if port:
            args += ["-o", "Port=%d" % int(port)]
        if user:
            args += ["-o", "User=%s" % user]
        if key:
            args += ["-o", "IdentityFile=%s" % os.path.expanduser(key)]
        address = str(self.say("ansible_host", "ansible_ssh_host", default=self.name))
        if address.startswith("-"):
            raise ValueError("%r is not an address" % address)
        return address, str(port or 22), args

    def login(self):
        address, port, target = self.target()
        password = self.password()
        command = ["ssh", "-o", "ConnectTimeout=5"]
        if password is None:
            command += ["-o", "BatchMode=yes"]
        for key in ("ssh_args", "ssh_common_args", "ssh_extra_args"):
            command += shlex.split(str(self.option(key) or ""))
            if key == "ssh_args" and self.option("host_key_checking") is False:
                command += ["-o", "StrictHostKeyChecking=no"]  # as Ansible does
        command += ["-o", "ControlPath=" + os.environ["TERRACE_CONTROL_PATH"]] + target
        return Login(command + ["--", address, "true"], address, port, password)


class Login:
    """A command that logs in and does nothing."""

    def __init__(self, command, address="", port="", password=None):
        self.command, self.address, self.port, self.password = command, address, port, password

    def run(self, command, timeout):
        """Returns the exit code and what was said."""
        given = ()
        if self.password is not None:
            read, write = os.pipe()
            with os.fdopen(write, "wb") as pipe:
                pipe.write(str(self.password).encode() + b"\n")
            command, given = ["sshpass", "-d%d" % read] + command, (read,)
        # ssh may leave a master process behind that keeps its standard error open: it
        # goes to a file, whose end is not waited for.
        try:
            with tempfile.TemporaryFile() as err:
                code = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, timeout=timeout, check=False, pass_fds=given
                ).returncode
                err.seek(0)
                return code, err.read().decode("utf-8", "replace")
        finally:
            for fd in given:
                os.close(fd)

    def once(self, timeout):
        """Returns None when it was let in, otherwise what was said."""
        code, said = self.run(self.command, timeout)
        if self.password is not None and code == 5:
            return "the password is refused"
        if code != 255:
            return None  # 255 is ssh's own failure; anything else was said by the host, so it answers
        if "open failed" in said and not self.address:
            return None  # the bastion answers, and the host behind it does not yet
        return said or "ssh failed"

    def shown_key(self):
        """The type and the fingerprint of the key that the host shows."""
        try:
            said = self.run(self.command[:1] + ["-v"] + self.command[1:], 20)[1]
        except (subprocess.TimeoutExpired, OSError):
            return ""
        found = re.findall(r"Server host key: (\S+ SHA256:\S+)", said)
        return found[-1] if found else ""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "terrace_hosts"
    CALLBACK_NEEDS_ENABLED = False
    CALLBACK_NEEDS_WHITELIST = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.events = os.fdopen(os.dup(int(os.environ["TERRACE_EVENTS"])), "w", encoding="utf-8")
        self.within = float(os.environ.get("TERRACE_WITHIN", "300"))
        self.going_on = os.environ.get("TERRACE_GO_ON") == "yes"  # without those that do not answer
        self.policy = os.environ["TERRACE_SSH"]
        with open(os.environ["TERRACE_KNOWN_HOSTS"], encoding="utf-8") as known:
            self.known = {line.split()[0] for line in known if line.strip()}
        self.bastion = os.environ.get("TERRACE_BASTION")
        self.telling = threading.Lock()
        self.named = set()
        self.answered = set()

    def tell(self, event, **fields):
        with self.telling:
            self.events.write(json.dumps(dict(fields, event=event), default=str) + "\n")
            self.events.flush()

    def v2_playbook_on_play_start(self, play):
        try:
            connection_loader.get("ssh", class_only=True)  # makes its options known
            waiting = self.reach(play)
        except Exception as e:  # without it, hosts could be taken for others
            self.stop("Terrace cannot say how hosts are known: %s" % e)
        waiting = {name: login for name, login in waiting.items() if name not in self.answered}
        silent = self.wait_for(waiting) if waiting else []
        if silent and not self.going_on:
            self.stop("no answer from %s" % ", ".join(sorted(silent)))

    def stop(self, why):
        """Ends the playbook: an exception in a callback would only be a warning."""
        self._display.display("ERROR! " + why, stderr=True)
        self.events.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(4)

    # How hosts are known and reached.

    def reach(self, play):
        """Names the inventory's hosts for SSH, and says how to log in to those of the play."""
        variables = play.get_variable_manager()
        inventory = variables._inventory
        mine = {h.get_name(): h for h in inventory.get_hosts(play.hosts)}
        # Tasks may be delegated to hosts that are not in the play.
        others = {n: h for n, h in inventory.hosts.items() if n not in mine and n not in self.named}
        logins = {}
        for name, host in list(others.items()) + list(mine.items()):
            # What was said for an earlier play is taken back first.
            for fact in (ARGS, OURS):
                variables._nonpersistent_fact_cache.get(name, {}).pop(fact, None)
            self.named.add(name)
            try:
                login = self.known_by_name(Reach(play, host), variables)
            except Exception as e:  # Ansible will say what is wrong with it
                self._display.warning("Terrace does not wait for %s: %s" % (name, e))
                ours = self.arguments(name, "")
                variables.set_nonpersistent_facts(name, {ARGS: ours, OURS: ours})
                continue
            if login and name in mine:
                logins[name] = login
        return logins

    def known_by_name(self, reach, variables):
        """Has SSH know a host by its name, and returns how to log in; None for one that is not reached by SSH."""
        if not reach.by_ssh():
            return None
        args = [str(reach.option(key) or "") for key in ("ssh_args", "ssh_common_args", "ssh_extra_args")]
        ours = self.arguments(reach.name, " ".join(args))
        facts = {ARGS: (args[1] + " " + ours).strip(), OURS: ours}
        variables.set_nonpersistent_facts(reach.name, dict(facts))
        # An extra variable has the last word, and takes ours into it.
        reach.know({**reach.vars, **facts, **getattr(variables, "_extra_vars", {})})
        return reach.login()

    def arguments(self, name, theirs):
        known = alias(name)
        # A host of which any key is known has to show a known one.
        ours = "-o StrictHostKeyChecking=" + ("yes" if known in self.known else "accept-new")
        if "HostKeyAlias" not in theirs:
            ours += " -o HostKeyAlias=" + known
        return ours + " " + self.policy

    # Waiting.

    def wait_for(self, waiting):
        """Returns the hosts that did not let us in."""
        deadline = time.monotonic() + self.within
        if self.bastion and self.bastion not in self.answered and not self.wait(self.bastion, self.to_bastion(next(iter(waiting.values()))), deadline):
            return list(waiting)
        with ThreadPoolExecutor(max_workers=10) as pool:
            well = pool.map(lambda name: self.wait(name, waiting[name], deadline), waiting)
            return [name for name, answers in zip(waiting, well) if not answers]

    def to_bastion(self, login):
        """Goes as far as the bastion, whose own failures could not be told from those of hosts behind it."""
        return Login(["ssh", "-o", "ConnectTimeout=5"] + shlex.split(os.environ["TERRACE_BASTION_SSH"].replace("%h", login.address).replace("%p", login.port)))

    def wait(self, host, login, deadline):
        """Waits for one host, and reports whether it let us in."""
        pause, shown = 0.2, time.monotonic()
        while True:
            left = max(5.0, deadline - time.monotonic())
            try:
                said = login.once(min(left, 60))
            except subprocess.TimeoutExpired:
                said = "no answer in time"
            except OSError as e:
                self.tell("silent", host=host, message="%s cannot be started: %s" % (e.filename or "ssh", e.strerror))
                return False
            if said is None:
                self.answered.add(host)
                return True
            if any(word in said for word in REFUSED_KEY):
                self.tell("other_key", host=host, message=said[-4000:], shown=login.shown_key())
                return False
            now = time.monotonic()
            last = (said.strip().splitlines() or ["no answer"])[-1]
            if now >= deadline:
                self.tell("silent", host=host, message=last[-4000:])
                return False
            if now - shown > 10:
                shown = now
                self._display.display("waiting for %s: %s" % (host, last))
            time.sleep(min(pause, max(0.0, deadline - now)))
            pause = min(2 * pause, 2.0)
