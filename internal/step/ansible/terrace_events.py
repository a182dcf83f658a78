"""Tells Terrace what happens in a playbook.

Written into the run's own folder by the runner and loaded by ansible-playbook beside
the callback that prints the log. Each event is a line of JSON in the pipe whose
descriptor TERRACE_EVENTS is.

    plan         the plays and, where that can be told before, their hosts
    play         a play, or a batch of it, begins on these hosts
    ok, skipped  a task ended on a host
    failed, unreachable, item_failed
                 it did not; "lasting" says that the host is out of the play for it
    end          the batch ended; who had failed, and of these "counted", whose own
                 fault it was: the others were stopped for the sake of the play
    recap        Ansible's counts per host

What only Ansible knows is told; what it means is decided by the runner.
"""
from __future__ import annotations

DOCUMENTATION = """
    name: terrace_events
    type: notification
    short_description: events for Terrace
    description: Writes events as lines of JSON.
"""

import json
import os

from ansible.executor.task_queue_manager import TaskQueueManager
from ansible.plugins.callback import CallbackBase

try:
    from ansible.template import Templar
except ImportError:  # the plan is without hosts then
    Templar = None

LONGEST = 16000  # characters of one text; the runner shortens it further, once it is masked
LONGEST_DIFF = 64000


def short(value, longest=LONGEST):
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= longest else text[:longest] + "…"


def of(result, name):
    """A part of a result, which has other names in other versions."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, "_" + name)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "terrace_events"
    CALLBACK_NEEDS_ENABLED = False
    CALLBACK_NEEDS_WHITELIST = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.events = os.fdopen(os.dup(int(os.environ["TERRACE_EVENTS"])), "w", encoding="utf-8")
        self.manager = None
        self.watch_plays()

    def tell(self, event, **fields):
        self.events.write(json.dumps(dict(fields, event=event), default=str) + "\n")
        self.events.flush()

    # Plays.

    def watch_plays(self):
        """Tells the end of each play or batch, of which there is no event."""
        run = TaskQueueManager.run

        def watched(manager, play):
            self.manager = manager
            try:
                result = run(manager, play)
            except Exception as e:
                if type(e).__name__ == "AnsibleEndPlay":  # meta: end_play, a good end
                    self.ended(manager, play)
                raise
            self.ended(manager, play)
            return result

        TaskQueueManager.run = watched

    def ended(self, manager, play):
        failed = sorted(str(h) for h in manager._failed_hosts)
        self.tell(
            "end",
            play=str(play._uuid),
            failed=failed,
            counted=[h for h in failed if manager._stats.failures.get(h)],
            unreachable=sorted(str(h) for h in manager._unreachable_hosts),
        )

    def v2_playbook_on_start(self, playbook):
        self.tell("plan", plays=[{"play": str(p._uuid), "hosts": self.planned(p)} for p in playbook.get_plays()])

    def planned(self, play):
        """The hosts that a play is for, None when that cannot be told before it begins."""
        try:
            variables = play.get_variable_manager()
            templar = Templar(loader=play.get_loader(), variables=variables.get_vars(play=play))
            hosts = variables._inventory.get_hosts(templar.template(play.hosts))
            return [h.get_name() for h in hosts]
        except Exception:
            return None

    def v2_playbook_on_play_start(self, play):
        try:
            hosts = [h.get_name() for h in play.get_variable_manager()._inventory.get_hosts(play.hosts)]
        except Exception:
            hosts = []
        self.tell("play", play=str(play._uuid), hosts=hosts)

    # Tasks.

    def task(self, event, result, **fields):
        task = of(result, "task")
        self.tell(event, host=of(result, "host").get_name(), task=task.get_name(), path=task.get_path() or "", **fields)

    def difference(self, result):
        """What changed, as text. A task says with no_log or "diff: false" that it is nobody's business."""
        if not getattr(of(result, "task"), "diff", False):
            return ""
        said = of(result, "result")
        items = said["results"] if isinstance(said.get("results"), list) else [said]
        try:
            return short("".join(self._get_diff(i["diff"]) for i in items if i.get("changed") and i.get("diff")), LONGEST_DIFF)
        except Exception as e:
            return "(the difference cannot be shown: %s)\n" % type(e).__name__

    def changed(self, result):
        if not of(result, "result").get("changed"):
            return {}
        return {"changed": True, "diff": self.difference(result), "handler": type(of(result, "task")).__name__ == "Handler"}

    def trouble(self, event, result, lasting=False, **fields):
        said = of(result, "result")
        self.task(
            event,
            result,
            message=short(said.get("msg") or said.get("censored") or ""),
            stderr=short(said.get("stderr") or said.get("module_stderr") or ""),
            lasting=bool(lasting),
            **fields,
        )

    def v2_runner_on_ok(self, result):
        self.task("ok", result, **self.changed(result))

    def v2_runner_on_skipped(self, result):
        self.task("skipped", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if ignore_errors:
            self.task("ok", result, **self.changed(result))
            return
        # A rescued failure is not counted.
        lasting = self.manager is None or self.manager._stats.failures.get(of(result, "host").get_name())
        # "changed" of a command that failed means nothing; items of a loop were changed before others failed.
        items = of(result, "result").get("results")
        before = isinstance(items, list) and any(i.get("changed") and not i.get("failed") for i in items)
        self.trouble("failed", result, lasting, **(self.changed(result) if before else {}))

    def v2_runner_item_on_failed(self, result):
        self.trouble("item_failed", result)

    def v2_runner_on_unreachable(self, result):
        lasting = self.manager is None or of(result, "host").get_name() in self.manager._unreachable_hosts
        self.trouble("unreachable", result, lasting)

    def v2_playbook_on_stats(self, stats):
        for host in sorted(stats.processed):
            s = stats.summarize(host)
            self.tell(
                "recap", host=host, ok=s["ok"], changed=s["changed"], failed=s["failures"],
                unreachable=s["unreachable"], skipped=s["skipped"],
            )
