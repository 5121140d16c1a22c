"""The dashboards, as rows of panels."""

from dataclasses import dataclass, field

from generate.alerts import OBJECTIVES

# Every query takes the chosen job and nodes.
AT = 'job=~"$job",instance=~"$instance"'


@dataclass(frozen=True)
class Panel:
    """A panel: `queries` are pairs of expression and legend; @ stands for the chosen job and nodes."""

    title: str
    about: str
    unit: str
    queries: list
    kind: str = "timeseries"
    # From which value on it is red: the same as of the alert on it.
    red: float | None = None


@dataclass(frozen=True)
class Board:
    name: str
    title: str
    reading: str
    rows: list = field(default_factory=list)


def rate(metric, labels="", by=""):
    where = "{@" + (f",{labels}" if labels else "") + "}"
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{where}[$__rate_interval]))"


def quantiles(metric, labels=""):
    where = "{@" + (f",{labels}" if labels else "") + "}"
    return [(f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{where}[$__rate_interval])))", name)
            for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


def stat(title, about, unit, expr, red=None):
    return Panel(title, about, unit, [(expr, "")], "stat", red)


ATTEMPTS, FAILURES = "dispatcher_dispatch_attempts_total", "dispatcher_dispatch_failures_total"

FLEET = Board("fleet", "Fleet overview", "Is it sending, how well, and what limits it? The first row answers; red means act. "
    "Below it: what is sent, what fails, what lanes wait for, and how the nodes are. Everything else has a board of its own in the menu above.", [
    ("Now", [
        stat("Nodes", "Nodes that are scraped.", "short", "count(dispatcher_build_info{@})"),
        stat("Ready", "Nodes that answer 200 to /readyz.", "short", "sum(dispatcher_ready{@})"),
        stat("Accepted each second", "Messages that the provider takes.", "mps", rate(ATTEMPTS, 'outcome="accepted"')),
        stat("Waiting", "Deliveries that are pending; those of paused campaigns are not.", "short", 'sum(dispatcher_fleet_deliveries{@,state="pending"})'),
        stat("Must be zero", "Accepted messages in no state, and plan usage that is off.", "short",
             "sum(abs(dispatcher_ledger_drift{@})) + sum(abs(dispatcher_usage_drift{@}))", 1),
        stat("On time", "Attempts that began within 100 ms of their slot.", "percentunit",
             '(sum(rate(dispatcher_dispatch_lateness_seconds_bucket{@,le=~"0[.]1"}[$__rate_interval])) / sum(rate(dispatcher_dispatch_lateness_seconds_count{@}[$__rate_interval])))'),
    ]),
    ("Sending", [
        Panel("Attempts by outcome", "Attempts that ended.", "mps", [(rate(ATTEMPTS, by="outcome"), "{{outcome}}")]),
        Panel("Failures by class and reason", "Attempts that did not end in acceptance.", "mps", [(rate(FAILURES, by="class, reason"), "{{class}} {{reason}}")]),
        Panel("What lanes wait for", "Lanes that have work and wait, by the one constraint that binds.", "short",
              [("sum by (held_by) (dispatcher_dispatch_lanes_held{@}) > 0", "{{held_by}}")]),
        Panel("On the wire", "Attempts that have no answer yet.", "short", [("sum by (instance) (dispatcher_dispatch_in_flight{@})", "{{instance}}")]),
    ]),
    ("Nodes", [
        Panel("Phase", "What each node is about.", "short", [('sum by (phase) (dispatcher_phase{@})', "{{phase}}")]),
        Panel("Versions", "Nodes by version.", "short", [("count by (version) (dispatcher_build_info{@})", "{{version}}")]),
        Panel("Timers late", "How late a timer of 100 ms fires: every message is late by at least as much.", "s", quantiles("dispatcher_node_timer_lag_seconds"), red=0.05),
        Panel("Processor", "Processor time each second.", "short", [("rate(process_cpu_seconds_total{@}[$__rate_interval])", "{{instance}}")]),
        Panel("Memory", "Resident memory.", "bytes", [("process_resident_memory_bytes{@}", "{{instance}}")]),
        Panel("Open files", "Open files and sockets, against what the system allows.", "percentunit", [("process_open_fds{@} / process_max_fds{@}", "{{instance}}")], red=0.8),
        Panel("Tasks", "Tasks of the runtime.", "short", [("dispatcher_node_tasks{@}", "{{instance}}")]),
        Panel("Connections to the database", "Idle and in use; beyond nine tenths of the most there may be, requests wait.", "short",
              [('sum by (state) (dispatcher_store_connections{@})', "{{state}}")]),
    ]),
])

CAMPAIGNS = Board("campaigns", "Campaigns and plans", "How campaigns, deliveries and plans stand, in numbers of the whole database. "
    "Single campaigns are answered by the API: GET /campaigns/{id}/stats and /held-by.", [
    ("Campaigns", [
        stat("Running", "Campaigns that are handed out.", "short", 'sum(dispatcher_fleet_campaigns{@,state="running"})'),
        stat("Time to drain", "How long the waiting deliveries take at the present pace.", "s",
             'sum(dispatcher_fleet_deliveries{@,state="pending"}) / (sum(rate(dispatcher_dispatch_attempts_total{@,outcome="accepted"}[$__rate_interval])) > 0)'),
        Panel("Campaigns by state", "All that are kept.", "short", [("sum by (state) (dispatcher_fleet_campaigns{@})", "{{state}}")]),
        Panel("Open deliveries", "Deliveries that are not settled. Unknown ones may have been sent.", "short", [("sum by (state) (dispatcher_fleet_deliveries{@})", "{{state}}")]),
    ]),
    ("From acceptance to receipt", [
        Panel("Deliveries taken in", "Persisted, and those that were there already.", "mps",
              [(rate("dispatcher_intake_deliveries_total"), "persisted"), (rate("dispatcher_intake_duplicates_total"), "duplicate")]),
        Panel("Receipts", "What the provider reports, repeats included.", "mps", [(rate("dispatcher_dispatch_receipts_total", by="kind"), "{{kind}}")]),
        Panel("Receipts that told something new", "Receipts that moved a delivery.", "mps", [(rate("dispatcher_dispatch_receipts_applied_total"), "applied")]),
        Panel("No receipt in time", "Accepted deliveries without a receipt.", "mps", [(rate("dispatcher_dispatch_no_receipt_total"), "missing")]),
        Panel("Failed for good and tried again", "By class.", "mps",
              [(rate("dispatcher_dispatch_failed_total", by="class"), "failed {{class}}"), (rate("dispatcher_dispatch_retries_total", by="class"), "again {{class}}")]),
    ]),
    ("Plans", [
        Panel("Subscriptions", "By state.", "short", [("sum by (state) (dispatcher_fleet_subscriptions{@})", "{{state}}")]),
        Panel("Messages of the plans", "Of all tenants whose plan has a limit: what may be sent in the period, what was, and what is kept.", "short",
              [("sum by (kind) (dispatcher_fleet_plan_messages{@})", "{{kind}}")]),
        Panel("Tenants out of messages", "Tenants with deliveries that wait for messages of their plan.", "short", [("sum(dispatcher_fleet_tenants_exhausted{@})", "tenants")]),
        Panel("Levers pulled", "What operators hold back.", "short", [("sum by (scope) (dispatcher_fleet_suspensions{@})", "{{scope}}")]),
    ]),
])

LANES = Board("lanes", "Lanes and pacing", "Is every lane at its pace, and how exactly? Lateness is what a message is late after its slot; the pace error is what "
    "this process adds between release and wire. Held time says which limit costs how much: pace, hours and caps are meant to.", [
    ("Pace", [
        Panel("Lateness", "How late after its slot an attempt began.", "s", quantiles("dispatcher_dispatch_lateness_seconds"), red=0.1),
        Panel("Pace error", "From release to the first byte on the wire.", "s", quantiles("dispatcher_dispatch_pace_error_seconds")),
        Panel("Lanes", "Lanes in memory, and those that wait.", "short",
              [("sum(dispatcher_dispatch_lanes{@})", "lanes"), ("sum(dispatcher_dispatch_lanes_held{@})", "waiting")]),
        Panel("Waiting time by cause", "Lanes' seconds of waiting each second, by the one constraint that binds.", "short",
              [("sum by (held_by) (rate(dispatcher_dispatch_held_seconds_total{@}[$__rate_interval])) > 0", "{{held_by}}")]),
        Panel("Taken back", "Prepared attempts taken back before they left: by pauses, holds and drains.", "mps", [(rate("dispatcher_dispatch_withdrawn_total"), "withdrawn")]),
    ]),
    ("Journal", [
        Panel("Commit time", "One transaction, commit included.", "s", quantiles("dispatcher_dispatch_journal_commit_seconds")),
        Panel("Rows of a transaction", "Few when idle, many under load.", "short", quantiles("dispatcher_dispatch_journal_rows")),
        Panel("Backlog", "Entries that wait for the writer.", "short", [("sum by (instance) (dispatcher_dispatch_journal_backlog{@})", "{{instance}}")]),
        Panel("Being written for", "How long the transaction under way has been going on.", "s", [("max by (instance) (dispatcher_dispatch_journal_writing_seconds{@})", "{{instance}}")], red=30),
        Panel("Failures", "Transactions that failed: nothing is sent until one succeeds.", "short", [(rate("dispatcher_dispatch_journal_failures_total"), "failed")]),
        Panel("Refill", "One query that refills the heads of lanes.", "s", quantiles("dispatcher_dispatch_heads_refill_seconds")),
    ]),
])

PROVIDER = Board("provider", "Provider and sessions", "Does the provider take what is sent, how fast does it answer, and how are the sessions? "
    "A failure's class is LIMIT_EXCEEDED or WHATSAPP_UNAVAILABLE; its reason drives what lanes do by themselves.", [
    ("Calls", [
        Panel("Call time", "From the first byte to the provider's answer.", "s", quantiles("dispatcher_dispatch_call_seconds")),
        Panel("Share of outcomes", "Of all attempts.", "percentunit",
              [("sum by (outcome) (rate(dispatcher_dispatch_attempts_total{@}[$__rate_interval])) / ignoring (outcome) group_left sum(rate(dispatcher_dispatch_attempts_total{@}[$__rate_interval]))", "{{outcome}}")]),
        Panel("Limits of the provider", "Refusals because of a limit.", "mps", [(rate(FAILURES, 'class="LIMIT_EXCEEDED"', "reason"), "{{reason}}")]),
        Panel("Unavailable", "Refusals and silence because something is away.", "mps", [(rate(FAILURES, 'class="WHATSAPP_UNAVAILABLE"', "reason"), "{{reason}}")]),
        Panel("Without an answer", "They may have been taken; receipts tell.", "mps", [(rate(ATTEMPTS, 'outcome="unknown"'), "unknown")]),
    ]),
    ("Sessions", [
        Panel("Sessions by state", "All sessions.", "short", [("sum by (state) (dispatcher_fleet_sessions{@})", "{{state}}")]),
        Panel("Lanes held by the provider", "By number, account, spam limit, tier, new chats, templates.", "short",
              [('sum by (held_by) (dispatcher_dispatch_lanes_held{@,held_by=~"account|number|spam_limit|tier|new_chat_timelock|template|throughput|pair|retry"})', "{{held_by}}")]),
        Panel("Lanes whose session is away", "Not connected, logged out or banned.", "short",
              [('sum by (held_by) (dispatcher_dispatch_lanes_held{@,held_by=~"session_down|session_lost"})', "{{held_by}}")]),
    ]),
])

INTAKE = Board("intake", "Intake and Kafka", "From the topic to the database, and who has which partitions. Lag while partitions are paused is meant: intake is full. "
    "Without a broker the rows of Kafka are 0 and the outbox feeds intake.", [
    ("Intake", [
        Panel("Jobs", "Taken in, and kept as dead letters.", "ops", [(rate("dispatcher_intake_jobs_total"), "jobs"), (rate("dispatcher_intake_jobs_dead_total"), "dead")]),
        Panel("Admission", "One transaction, commit included.", "s", quantiles("dispatcher_intake_admit_seconds")),
        Panel("Tried again", "Admissions that failed.", "ops", [(rate("dispatcher_intake_failures_total"), "failed")]),
        Panel("Outbox", "Rows that wait for intake, at the last look.", "short", [("sum(dispatcher_intake_outbox_backlog{@})", "rows")]),
    ]),
    ("Kafka", [
        Panel("Lag", "Records that are not durable here yet.", "short", [("sum by (instance) (dispatcher_kafka_lag_records{@})", "{{instance}}")]),
        Panel("Age of jobs", "From a record's own time to its job being durable.", "s", quantiles("dispatcher_kafka_record_age_seconds"), red=25),
        Panel("Partitions", "Assigned by the group, and paused because intake is full.", "short", [("sum by (state) (dispatcher_kafka_partitions{@})", "{{state}}")]),
        Panel("Rebalances", "That gave or took partitions.", "short", [("sum by (kind) (increase(dispatcher_kafka_rebalances_total{@}[$__rate_interval]))", "{{kind}}")]),
        Panel("Broker", "1 where a broker was heard from lately.", "short", [("dispatcher_intake_broker_connected{@}", "{{instance}}")]),
    ]),
    ("Ownership", [
        Panel("Partitions owned", "By lease in the database.", "short", [("sum by (instance) (dispatcher_ownership_partitions{@})", "{{instance}}")]),
        Panel("Claims and losses", "Claimed, taken by another node, and writes refused because of it.", "short",
              [("sum(increase(dispatcher_ownership_claims_total{@}[$__rate_interval]))", "claimed"), ("sum(increase(dispatcher_ownership_lost_total{@}[$__rate_interval]))", "lost"),
               ("sum(increase(dispatcher_dispatch_fenced_total{@}[$__rate_interval]))", "fenced")]),
        Panel("Renewals that failed", "A lease that is not renewed ends.", "ops", [(rate("dispatcher_ownership_renewal_failures_total"), "failed")]),
        Panel("Restore", "From a claim to its lanes being open.", "s", quantiles("dispatcher_ownership_restore_seconds")),
        Panel("Found under way", "Attempts that a dead owner had under way; they are unknown now.", "short", [("sum(increase(dispatcher_ownership_orphaned_total{@}[$__rate_interval]))", "attempts")]),
    ]),
    ("Events", [
        Panel("Events relayed", "Changes of state written to the topic.", "ops", [(rate("dispatcher_events_relayed_total"), "relayed"), (rate("dispatcher_events_failures_total"), "failed")]),
        Panel("Events waiting", "Transactions whose changes are not on the topic yet.", "short", [("max(dispatcher_events_backlog{@})", "transactions")], red=10000),
    ]),
])

API = Board("api", "API and webhooks", "Requests by rate, errors and duration; then what tenants are told at addresses of theirs. A slow route is found in the table of routes below.", [
    ("Requests", [
        Panel("Requests", "By class of status.", "reqps", [(rate("dispatcher_api_requests_total", by="status"), "{{status}}")]),
        Panel("Errors", "5xx by route.", "reqps", [(rate("dispatcher_api_requests_total", 'status="5xx"', "route"), "{{route}}")]),
        Panel("Duration", "Of all requests but streams.", "s", quantiles("dispatcher_api_request_seconds", 'route!~".*/(events|export|import|recipients|content)"'), red=0.5),
        Panel("Slowest routes", "99 in a hundred are quicker.", "s",
              [("topk(10, histogram_quantile(0.99, sum by (route, le) (rate(dispatcher_api_request_seconds_bucket{@}[$__rate_interval]))))", "{{route}}")]),
        Panel("Open requests", "Requests whose answer has not begun; streams count until then.", "short", [("sum(dispatcher_api_in_flight{@})", "open")]),
        Panel("Too many requests", "Answered 429.", "reqps", [(rate("dispatcher_api_rate_limited_total"), "429")]),
        Panel("Callbacks of the provider", "What became of them.", "reqps", [(rate("dispatcher_api_callbacks_total", by="result"), "{{result}}")]),
        Panel("Not logged", "Requests counted but not in the log of requests.", "reqps", [(rate("dispatcher_api_requests_not_logged_total"), "not logged")]),
    ]),
    ("Webhooks", [
        Panel("Attempts", "By outcome.", "ops", [(rate("dispatcher_webhooks_attempts_total", by="outcome"), "{{outcome}}")]),
        Panel("Duration", "From the beginning of an attempt to its end.", "s", quantiles("dispatcher_webhooks_attempt_seconds")),
        Panel("Waiting", "For all active webhooks.", "short", [("sum(dispatcher_webhooks_waiting{@})", "waiting")]),
        Panel("Oldest", "Age of the oldest that waits.", "s", [("max(dispatcher_webhooks_oldest_seconds{@})", "oldest")], red=300),
        Panel("Switched off", "Webhooks where nothing arrived for days.", "short", [("sum(increase(dispatcher_webhooks_disabled_total{@}[$__rate_interval]))", "switched off")]),
        Panel("Turns broken off", "By the database; tried again.", "ops", [(rate("dispatcher_webhooks_failures_total"), "failed")]),
    ]),
])

SLO = Board("slo", "Service objectives", "What is promised over 30 days, what was kept of it, and how fast the budget is used. A burn of 1 uses the budget up in exactly 30 days; "
    "14.4 for an hour wakes somebody. Loss and usage that is off have no budget: they must be 0.", [
    ("No budget", [
        stat("Lost", "Accepted messages that are in no state.", "short", "sum(abs(dispatcher_ledger_drift{@}))", 1),
        stat("Usage off", "Messages by which plans are counted wrong.", "short", "sum(abs(dispatcher_usage_drift{@}))", 1),
    ]),
] + [(objective.title, [
        stat(f"Of 3 days ({objective.name})", f"Share of bad events; the objective allows {objective.budget:.1%}.", "percentunit",
             f'max({objective.record("3d")}{{job=~"$job"}})', objective.budget),
        Panel(f"Burn ({objective.name})", "How many times as fast as allowed the budget is used.", "short",
              [(f'{objective.record(window)}{{job=~"$job"}} / {objective.budget}', window) for window in ("5m", "1h", "6h", "3d")], red=14.4),
    ]) for objective in OBJECTIVES])

BOARDS = [FLEET, CAMPAIGNS, LANES, PROVIDER, INTAKE, API, SLO]
