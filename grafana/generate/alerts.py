"""What is recorded, what is promised, and what wakes somebody: each with the series that make it fire and keep it silent."""

from dataclasses import dataclass, field

WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]

# What a recipient, a template or a plan is to blame for is not ours; neither is what the provider has of its own.
OUR_REASONS = "OUTCOME_UNKNOWN|REQUEST_REJECTED|AUTH_INVALID|PERMISSION_DENIED"
PROVIDER_REASONS = "PROVIDER_UNAVAILABLE|PROVIDER_ERROR|NETWORK"
THROTTLES = "THROUGHPUT|APP_RATE_LIMIT|WABA_RATE_LIMIT|SPAM_RATE_LIMIT"


@dataclass(frozen=True)
class Objective:
    """A share of good events over 30 days; `bad` and `all` are rates with WINDOW for the window."""

    name: str
    title: str
    board: str
    budget: float
    bad: str
    all: str
    # Fewer events than these in an hour say nothing.
    events: str
    # Series of which one event in ten is bad, and of which none is, although something is going on.
    one_in_ten: list
    none: list

    def record(self, window):
        return f"job:{self.name}:ratio_rate{window}"

    def ratio(self, window):
        bad, all_ = (text.replace("WINDOW", window) for text in (self.bad, self.all))
        return f"({bad} or 0 * {all_}) / ({all_} > 0)"


def series(name, values, **labels):
    """A series of the daemon on one node."""
    labels = {"job": "dispatcher", "instance": "a", **labels}
    inner = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return (f"{name}{{{inner}}}", values)


def buckets(name, below, *above, slow, **labels):
    """A histogram around the bound `below`: all of it is slower, or none."""
    return [series(f"{name}_bucket", "0x60" if slow else "0+60x60", le=below, **labels)] + [
        series(f"{name}_bucket", "0+60x60", le=bound, **labels) for bound in (*above, "+Inf")]


OBJECTIVES = [
    Objective(
        "dispatcher_send_errors", "Attempts that failed through our fault", "slo", 0.005,
        f'sum by (job) (rate(dispatcher_dispatch_failures_total{{reason=~"{OUR_REASONS}"}}[WINDOW]))',
        # Left out of both sides: with nine in ten attempts refused for others' reasons, ours would look a tenth as bad.
        f'(sum by (job) (rate(dispatcher_dispatch_attempts_total{{outcome="accepted"}}[WINDOW])) + '
        f'(sum by (job) (rate(dispatcher_dispatch_failures_total{{reason=~"{OUR_REASONS}"}}[WINDOW])) or '
        '0 * sum by (job) (rate(dispatcher_dispatch_attempts_total{outcome="accepted"}[WINDOW]))))',
        "sum by (job) (increase(dispatcher_dispatch_attempts_total[1h]))",
        [series("dispatcher_dispatch_attempts_total", "0+90x60", outcome="accepted"),
         series("dispatcher_dispatch_attempts_total", "0+910x60", outcome="deferred"),
         series("dispatcher_dispatch_failures_total", "0+10x60", reason="OUTCOME_UNKNOWN"),
         series("dispatcher_dispatch_failures_total", "0+900x60", reason="NETWORK")],
        [series("dispatcher_dispatch_attempts_total", "0+90x60", outcome="accepted"),
         series("dispatcher_dispatch_failures_total", "0+900x60", reason="NETWORK")],
    ),
    Objective(
        "dispatcher_late_sends", "Attempts that began more than 100 ms after their slot", "slo", 0.01,
        '(sum by (job) (rate(dispatcher_dispatch_lateness_seconds_count[WINDOW])) - sum by (job) '
        '(rate(dispatcher_dispatch_lateness_seconds_bucket{le=~"0[.]1"}[WINDOW])))',
        "sum by (job) (rate(dispatcher_dispatch_lateness_seconds_count[WINDOW]))",
        "sum by (job) (increase(dispatcher_dispatch_lateness_seconds_count[1h]))",
        [series("dispatcher_dispatch_lateness_seconds_bucket", "0+90x60", le="0.1"),
         series("dispatcher_dispatch_lateness_seconds_bucket", "0+99x60", le="0.15"),
         series("dispatcher_dispatch_lateness_seconds_count", "0+100x60")],
        [series("dispatcher_dispatch_lateness_seconds_bucket", "0+100x60", le="0.1"),
         series("dispatcher_dispatch_lateness_seconds_count", "0+100x60")],
    ),
    Objective(
        "dispatcher_api_errors", "Requests that the server failed to answer", "slo", 0.001,
        'sum by (job) (rate(dispatcher_api_requests_total{status="5xx"}[WINDOW]))',
        "sum by (job) (rate(dispatcher_api_requests_total[WINDOW]))",
        "sum by (job) (increase(dispatcher_api_requests_total[1h]))",
        [series("dispatcher_api_requests_total", "0+85x60", status="2xx"), series("dispatcher_api_requests_total", "0+5x60", status="4xx"),
         series("dispatcher_api_requests_total", "0+10x60", status="5xx")],
        [series("dispatcher_api_requests_total", "0+85x60", status="2xx"), series("dispatcher_api_requests_total", "0+5x60", status="4xx")],
    ),
]

RECORDED = [
    ("job:dispatcher_dispatch_attempts:rate5m", "sum by (job) (rate(dispatcher_dispatch_attempts_total[5m]))"),
    ("job_outcome:dispatcher_dispatch_attempts:rate5m",
     "sum by (job, outcome) (rate(dispatcher_dispatch_attempts_total[5m]))"),
    ("job_class:dispatcher_dispatch_failures:rate5m",
     "sum by (job, class) (rate(dispatcher_dispatch_failures_total[5m]))"),
    ("job:dispatcher_fleet_drain_seconds:estimate",
     'sum by (job) (dispatcher_fleet_deliveries{state="pending"}) / '
     '(sum by (job) (rate(dispatcher_dispatch_attempts_total{outcome="accepted"}[5m])) > 0)'),
]


@dataclass(frozen=True)
class Alert:
    """An alert; `fires` and `silent` are series of one value a minute, looked at after `at`."""

    name: str
    severity: str
    wait: str
    board: str
    expr: str
    summary: str
    description: str
    fires: list
    silent: list
    at: str = "30m"
    # Labels of the alert that fires, besides severity and what its expression keeps.
    kept: dict = field(default_factory=lambda: {"job": "dispatcher"})


NODE = {"job": "dispatcher", "instance": "a"}
GROWS, STANDS, ZERO = "0+60x60", "7x60", "0x60"

ALERTS = [
    Alert("DispatcherDown", "critical", "2m", "fleet", 'up{job="dispatcher"} == 0',
          "Dispatcher {{ $labels.instance }} can not be scraped.",
          "Its lanes move to other nodes when its leases have run out; with one node nothing is sent.",
          [series("up", ZERO)], [series("up", "1x60")], kept=NODE),
    Alert("DispatcherAbsent", "critical", "5m", "fleet", 'absent(up{job="dispatcher"})',
          "No dispatcher is known to Prometheus.", "Nothing is scraped under the job dispatcher, so nothing else can alert.",
          [("up{job=\"other\"}", "1x60")], [series("up", "1x60")]),
    Alert("DispatcherNotReady", "warning", "10m", "fleet", "max by (job, instance) (dispatcher_ready) == 0",
          "Dispatcher {{ $labels.instance }} is up and not ready.",
          "Its phase says why: it starts, drains, or has lost its database or its broker.",
          [series("dispatcher_ready", ZERO)], [series("dispatcher_ready", "1x60")], kept=NODE),
    Alert("DispatcherStoreLost", "critical", "2m", "fleet",
          'max by (job, instance) (dispatcher_phase{phase="store lost"}) == 1',
          "Dispatcher {{ $labels.instance }} can not reach its database.",
          "Nothing is sent until it is back; nothing is lost.",
          [series("dispatcher_phase", "1x60", phase="store lost")],
          [series("dispatcher_phase", ZERO, phase="store lost")], kept=NODE),
    Alert("DispatcherBrokerLost", "warning", "5m", "intake",
          'max by (job, instance) (dispatcher_phase{phase="broker lost"}) == 1',
          "Dispatcher {{ $labels.instance }} can not reach Kafka.",
          "No jobs come in; what is in the database goes on being sent.",
          [series("dispatcher_phase", "1x60", phase="broker lost")],
          [series("dispatcher_phase", ZERO, phase="broker lost")], kept=NODE),
    Alert("DispatcherLedgerDrift", "critical", "1m", "fleet",
          "max by (job) (abs(dispatcher_ledger_drift)) > 0",
          "{{ $value }} accepted messages are in no state.",
          "The promise that nothing is lost is broken, or rows were changed by hand.",
          [series("dispatcher_ledger_drift", "0x5 3x60")], [series("dispatcher_ledger_drift", ZERO)]),
    Alert("DispatcherUsageDrift", "warning", "1m", "fleet",
          "max by (job) (abs(dispatcher_usage_drift)) > 0",
          "The usage of plans is off by {{ $value }} messages.",
          "What tenants are counted for differs from their deliveries.",
          [series("dispatcher_usage_drift", "0x5 3x60")], [series("dispatcher_usage_drift", ZERO)]),
    Alert("DispatcherPartitionsLost", "warning", "0m", "intake",
          "sum by (job) (increase(dispatcher_ownership_lost_total[10m])) > 0",
          "Nodes took partitions from each other.",
          "A node stood still for longer than its lease, or two nodes disagree about who has what.",
          [series("dispatcher_ownership_lost_total", GROWS)], [series("dispatcher_ownership_lost_total", STANDS)]),
    Alert("DispatcherLeasesNotRenewed", "warning", "2m", "intake",
          "sum by (job, instance) (rate(dispatcher_ownership_renewal_failures_total[5m])) > 0",
          "Dispatcher {{ $labels.instance }} fails to renew its leases.",
          "When a lease has run out its lanes stop, and another node may have them.",
          [series("dispatcher_ownership_renewal_failures_total", GROWS)],
          [series("dispatcher_ownership_renewal_failures_total", STANDS)], kept=NODE),
    Alert("DispatcherRebalanceStorm", "warning", "5m", "intake",
          # Every node tells of every rebalance: the sum would grow with their number, and a rolling restart would fire.
          'max by (job) (increase(dispatcher_kafka_rebalances_total{kind="assign"}[15m])) > 6',
          "Partitions are given out over and over: {{ $value | humanize }} times in 15 minutes.",
          "Nodes join and leave the group all the time; lanes are closed and opened each time.",
          [series("dispatcher_kafka_rebalances_total", "0+2x60", kind="assign")],
          [series("dispatcher_kafka_rebalances_total", "0+2x2 4x60", kind="assign", instance=node) for node in "abcd"], at="12m"),
    Alert("DispatcherIntakeStalled", "critical", "5m", "intake",
          "sum by (job) (dispatcher_kafka_lag_records) > 0 unless on (job) "
          "sum by (job) (rate(dispatcher_intake_jobs_total[5m]) + rate(dispatcher_intake_jobs_dead_total[5m])) > 0",
          "{{ $value }} records wait and none is taken in.", "Jobs are on the topic and intake takes none of them.",
          [series("dispatcher_kafka_lag_records", STANDS), series("dispatcher_intake_jobs_total", STANDS),
           series("dispatcher_intake_jobs_dead_total", ZERO)],
          [series("dispatcher_kafka_lag_records", STANDS), series("dispatcher_intake_jobs_total", GROWS),
           series("dispatcher_intake_jobs_dead_total", ZERO)]),
    Alert("DispatcherJobsOld", "warning", "10m", "intake",
          "histogram_quantile(0.9, sum by (job, le) (rate(dispatcher_kafka_record_age_seconds_bucket[5m]))) > 25",
          "Jobs are {{ $value | humanizeDuration }} old when they are taken in.",
          "The topic grows faster than intake takes it, or was not read for a while.",
          buckets("dispatcher_kafka_record_age_seconds", "10.0", "30.0", slow=True),
          buckets("dispatcher_kafka_record_age_seconds", "10.0", "30.0", slow=False)),
    Alert("DispatcherDeadLetters", "warning", "5m", "intake",
          "sum by (job) (rate(dispatcher_intake_jobs_dead_total[15m])) / "
          "(sum by (job) (rate(dispatcher_intake_jobs_total[15m]) + rate(dispatcher_intake_jobs_dead_total[15m])) > 0) > 0.01",
          "{{ $value | humanizePercentage }} of the jobs are dead letters.",
          "A client writes what is no job; the others are not held up.",
          [series("dispatcher_intake_jobs_dead_total", "0+3x60"), series("dispatcher_intake_jobs_total", GROWS)],
          [series("dispatcher_intake_jobs_dead_total", STANDS), series("dispatcher_intake_jobs_total", GROWS)]),
    Alert("DispatcherIntakeFailing", "warning", "5m", "intake",
          "sum by (job, instance) (rate(dispatcher_intake_failures_total[5m])) > 0",
          "Dispatcher {{ $labels.instance }} fails to admit jobs and tries again.",
          "The database refuses or breaks off what intake writes.",
          [series("dispatcher_intake_failures_total", GROWS)], [series("dispatcher_intake_failures_total", STANDS)], kept=NODE),
    Alert("DispatcherLanesStalled", "critical", "5m", "lanes",
          'sum by (job) (dispatcher_fleet_deliveries{state="pending"}) > 0 unless on (job) '
          "sum by (job) (rate(dispatcher_dispatch_attempts_total[5m])) > 0 unless on (job) "
          "sum by (job) (dispatcher_dispatch_lanes_held) > 0",
          "{{ $value }} messages wait, none is sent, and no lane says why.",
          "Work is there, nothing holds it, and nothing goes.",
          [series("dispatcher_fleet_deliveries", STANDS, state="pending"),
           series("dispatcher_dispatch_attempts_total", STANDS, outcome="accepted"),
           series("dispatcher_dispatch_lanes_held", ZERO, held_by="pace")],
          [series("dispatcher_fleet_deliveries", STANDS, state="pending"),
           series("dispatcher_dispatch_attempts_total", STANDS, outcome="accepted"),
           series("dispatcher_dispatch_lanes_held", "1x60", held_by="sending_hours")]),
    Alert("DispatcherJournalStalled", "critical", "1m", "lanes",
          "max by (job, instance) (dispatcher_dispatch_journal_writing_seconds) > 30",
          "Dispatcher {{ $labels.instance }} has been writing one transaction for {{ $value | humanizeDuration }}.",
          "Nothing begins before it is written. What is on the wire ends without being recorded until then.",
          [series("dispatcher_dispatch_journal_writing_seconds", "0+60x60")],
          [series("dispatcher_dispatch_journal_writing_seconds", "0.004x60")], kept=NODE),
    Alert("DispatcherJournalFailing", "warning", "2m", "lanes",
          "sum by (job, instance) (rate(dispatcher_dispatch_journal_failures_total[5m])) > 0",
          "Dispatcher {{ $labels.instance }} fails to write its journal.",
          "Nothing is sent until a transaction succeeds; it tries by itself.",
          [series("dispatcher_dispatch_journal_failures_total", GROWS)],
          [series("dispatcher_dispatch_journal_failures_total", STANDS)], kept=NODE),
    Alert("DispatcherProviderUnavailable", "critical", "10m", "provider",
          f'sum by (job) (rate(dispatcher_dispatch_failures_total{{reason=~"{PROVIDER_REASONS}"}}[5m])) / '
          "(sum by (job) (rate(dispatcher_dispatch_attempts_total[5m])) > 0) > 0.2",
          "{{ $value | humanizePercentage }} of the attempts find the provider away.",
          "Lanes hold by themselves and probe; messages wait and are not lost.",
          [series("dispatcher_dispatch_failures_total", GROWS, reason="NETWORK"),
           series("dispatcher_dispatch_attempts_total", GROWS, outcome="deferred")],
          [series("dispatcher_dispatch_failures_total", STANDS, reason="NETWORK"),
           series("dispatcher_dispatch_attempts_total", GROWS, outcome="accepted")]),
    Alert("DispatcherAccountHeld", "warning", "15m", "provider",
          'sum by (job) (dispatcher_dispatch_lanes_held{held_by=~"account|number|spam_limit"}) > 0',
          "{{ $value }} lanes are refused by the provider, by number or by account.",
          "A number or an account is restricted, its token has ended, or its payment does not work.",
          [series("dispatcher_dispatch_lanes_held", "2x60", held_by="account")],
          [series("dispatcher_dispatch_lanes_held", "2x60", held_by="pace")]),
    Alert("DispatcherThrottled", "warning", "15m", "provider",
          f'sum by (job) (rate(dispatcher_dispatch_failures_total{{reason=~"{THROTTLES}"}}[15m])) / '
          "(sum by (job) (rate(dispatcher_dispatch_attempts_total[15m])) > 0) > 0.05",
          "The provider throttles {{ $value | humanizePercentage }} of the attempts.",
          "Lanes find the provider's limit by themselves at one refusal in a thousand; this is far more.",
          [series("dispatcher_dispatch_failures_total", GROWS, reason="THROUGHPUT"),
           series("dispatcher_dispatch_attempts_total", GROWS, outcome="deferred")],
          [series("dispatcher_dispatch_failures_total", STANDS, reason="THROUGHPUT"),
           series("dispatcher_dispatch_attempts_total", GROWS, outcome="accepted")], at="45m"),
    Alert("DispatcherSessionsLost", "warning", "10m", "provider",
          'sum by (job) (dispatcher_fleet_sessions{state=~"logged_out|banned|reconnecting"}) / '
          "(sum by (job) (dispatcher_fleet_sessions) >= 10) > 0.1",
          "{{ $value | humanizePercentage }} of the sessions are logged out, banned or reconnecting.",
          "One cause for many: an account, a version of the client, or the network.",
          [series("dispatcher_fleet_sessions", "5x60", state="banned"),
           series("dispatcher_fleet_sessions", "20x60", state="connected")],
          [series("dispatcher_fleet_sessions", "1x60", state="banned"),
           series("dispatcher_fleet_sessions", "20x60", state="connected")]),
    Alert("DispatcherOutcomesUnknown", "warning", "10m", "provider",
          'sum by (job) (rate(dispatcher_dispatch_attempts_total{outcome="unknown"}[10m])) / '
          "(sum by (job) (rate(dispatcher_dispatch_attempts_total[10m])) > 0) > 0.01",
          "{{ $value | humanizePercentage }} of the attempts end without an answer.",
          "They may have been taken. They are not sent again unless their campaign says so.",
          [series("dispatcher_dispatch_attempts_total", "0+6x60", outcome="unknown"),
           series("dispatcher_dispatch_attempts_total", GROWS, outcome="accepted")],
          [series("dispatcher_dispatch_attempts_total", STANDS, outcome="unknown"),
           series("dispatcher_dispatch_attempts_total", GROWS, outcome="accepted")]),
    Alert("DispatcherReceiptsMissing", "warning", "30m", "provider",
          "sum by (job) (rate(dispatcher_dispatch_no_receipt_total[1h])) / "
          '(sum by (job) (rate(dispatcher_dispatch_attempts_total{outcome="accepted"}[1h])) > 0) > 0.2',
          "{{ $value | humanizePercentage }} of what the provider took has no receipt in time.",
          "Callbacks do not arrive, or a number is shadow-banned.",
          [series("dispatcher_dispatch_no_receipt_total", "0+30x120"),
           series("dispatcher_dispatch_attempts_total", "0+60x120", outcome="accepted")],
          [series("dispatcher_dispatch_no_receipt_total", "7x120"),
           series("dispatcher_dispatch_attempts_total", "0+60x120", outcome="accepted")], at="100m"),
    Alert("DispatcherCallbacksRefused", "warning", "10m", "api",
          'sum by (job) (rate(dispatcher_api_callbacks_total{result=~"unsigned|malformed"}[10m])) / '
          "(sum by (job) (rate(dispatcher_api_callbacks_total[10m])) > 0) > 0.1",
          "{{ $value | humanizePercentage }} of the callbacks are refused.",
          "The app secret is another one than the provider's, or somebody else calls.",
          [series("dispatcher_api_callbacks_total", GROWS, result="unsigned")],
          [series("dispatcher_api_callbacks_total", GROWS, result="taken"),
           series("dispatcher_api_callbacks_total", STANDS, result="unsigned")]),
    Alert("DispatcherApiSlow", "warning", "10m", "api",
          "histogram_quantile(0.99, sum by (job, le) (rate(dispatcher_api_request_seconds_bucket"
          '{route!~".*/(events|export|import|recipients|content)"}[5m]))) > 0.5 and on (job) '
          "sum by (job) (rate(dispatcher_api_request_seconds_count[5m])) > 0.1",
          "One request in a hundred takes {{ $value | humanizeDuration }} or longer.",
          "Streams and uploads are left out.",
          buckets("dispatcher_api_request_seconds", "0.5", "1.0", slow=True, route="/api/v1/campaigns") + [series("dispatcher_api_request_seconds_count", GROWS, route="/api/v1/campaigns")],
          buckets("dispatcher_api_request_seconds", "0.5", "1.0", slow=False, route="/api/v1/campaigns") + [series("dispatcher_api_request_seconds_count", GROWS, route="/api/v1/campaigns")]),
    Alert("DispatcherWebhooksBehind", "warning", "10m", "api",
          "max by (job) (dispatcher_webhooks_oldest_seconds) > 300",
          "Something has waited {{ $value | humanizeDuration }} for a webhook.",
          "Receivers are away, or the courier is. One receiver that is away for long is its owner's matter.",
          [series("dispatcher_webhooks_oldest_seconds", "900x60")], [series("dispatcher_webhooks_oldest_seconds", "3x60")]),
    Alert("DispatcherEventsBehind", "warning", "10m", "intake",
          "max by (job) (dispatcher_events_backlog) > 10000",
          "{{ $value | humanize }} transactions are not on the topic of events yet.",
          "Consumers of delivery.events see an old state.",
          [series("dispatcher_events_backlog", "20000x60")], [series("dispatcher_events_backlog", "5x60")]),
    Alert("DispatcherTimersLate", "warning", "5m", "fleet",
          "histogram_quantile(0.99, sum by (job, instance, le) (rate(dispatcher_node_timer_lag_seconds_bucket[5m]))) > 0.05",
          "Timers of {{ $labels.instance }} fire {{ $value | humanizeDuration }} late.",
          "The processor is taken by something else, or something blocks the runtime; every message is late by as much.",
          buckets("dispatcher_node_timer_lag_seconds", "0.05", "0.075", slow=True),
          buckets("dispatcher_node_timer_lag_seconds", "0.05", "0.075", slow=False), kept=NODE),
    Alert("DispatcherPoolExhausted", "warning", "5m", "fleet",
          'max by (job, instance) (dispatcher_store_connections{state="used"}) / '
          'max by (job, instance) (dispatcher_store_connections{state="max"}) > 0.9',
          "Dispatcher {{ $labels.instance }} uses {{ $value | humanizePercentage }} of its connections to the database.",
          "Requests and lanes begin to wait for connections.",
          [series("dispatcher_store_connections", "20x60", state="used"),
           series("dispatcher_store_connections", "20x60", state="max")],
          [series("dispatcher_store_connections", "2x60", state="used"),
           series("dispatcher_store_connections", "20x60", state="max")], kept=NODE),
    Alert("DispatcherEverythingStopped", "warning", "30m", "fleet",
          'sum by (job) (dispatcher_fleet_suspensions{scope="everything"}) > 0',
          "An operator has stopped everything for half an hour.", "Nothing is sent until somebody starts it again.",
          [series("dispatcher_fleet_suspensions", "1x60", scope="everything")],
          [series("dispatcher_fleet_suspensions", ZERO, scope="everything")], at="45m"),
    Alert("DispatcherVersionsDiffer", "info", "1h", "fleet",
          "count by (job) (count by (job, version) (dispatcher_build_info == 1)) > 1",
          "{{ $value }} versions run beside each other.", "An upgrade has stopped half-way.",
          [series("dispatcher_build_info", "1x120", version="0.1.0"), series("dispatcher_build_info", "1x120", version="0.2.0")],
          [series("dispatcher_build_info", "1x120", version="0.1.0")], at="100m"),
]


def burns(objective):
    """Two alerts for an objective: its month's budget is used up in two days, or in ten."""
    camel = "".join(word.capitalize() for word in objective.name.split("_")[1:])
    enough = f"and on (job) {objective.events} > 100"

    def over(long, short, factor):
        limit = f"({factor} * {objective.budget})"
        return f"({objective.record(long)} > {limit} and {objective.record(short)} > {limit})"

    counted = {
        "dispatcher_send_errors": series("dispatcher_dispatch_attempts_total", "0+60x120", outcome="accepted"),
        "dispatcher_late_sends": series("dispatcher_dispatch_lateness_seconds_count", "0+60x120"),
        "dispatcher_api_errors": series("dispatcher_api_requests_total", "0+60x120", status="2xx"),
    }[objective.name]

    def recorded(bad_windows):
        """Twenty times the budget in these windows, half of it in the others."""
        value = {True: round(objective.budget * 20, 6), False: round(objective.budget * 0.5, 6)}
        return [(f'{objective.record(window)}{{job="dispatcher"}}', f"{value[window in bad_windows]}x120") for window in WINDOWS] + [counted]

    # What was bad and is over is silent: long windows remember it, short ones do not.
    fires, silent = recorded(WINDOWS), recorded({"1h", "1d", "3d"})
    return [
        Alert(f"Dispatcher{camel}BurnFast", "critical", "2m", objective.board,
              f'({over("1h", "5m", 14.4)} or {over("6h", "30m", 6)}) {enough}',
              f"{objective.title}: {{{{ $value | humanizePercentage }}}}.",
              "At this rate the budget of 30 days is used up in two to five days.", fires, silent, at="90m"),
        Alert(f"Dispatcher{camel}BurnSlow", "warning", "15m", objective.board,
              f'({over("1d", "2h", 3)} or {over("3d", "6h", 1)}) {enough}',
              f"{objective.title}: {{{{ $value | humanizePercentage }}}}.",
              "At this rate the budget of 30 days is used up in ten days to a month.", fires, silent, at="90m"),
    ]


ALL = ALERTS + [alert for objective in OBJECTIVES for alert in burns(objective)]
