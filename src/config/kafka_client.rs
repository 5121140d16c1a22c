//! Further settings of the Kafka client library, from a file of `key=value` lines.
//!
//! For encryption and credentials. Whatever delivery rests on is set by us and refused here. Values are
//! secrets: they are never printed, not even in a message about a mistake.

use std::path::Path;

use super::secret::Secret;

/// Settings of librdkafka that are ours to choose: nothing is lost or repeated only with the values that
/// `broker` gives them.
pub const OWN_SETTINGS: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "client.id",
    "compression.codec",
    "compression.type",
    "debug",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "enable.random.seed",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "linger.ms",
    "log.queue",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.poll.interval.ms",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "partition.assignment.strategy",
    "partitioner",
    "plugin.library.paths",
    "produce.offset.report",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "queuing.strategy",
    "request.required.acks",
    "retries",
    "session.timeout.ms",
    "statistics.interval.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Settings beyond ours, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings(Vec<(String, Secret)>);

impl ClientSettings {
    /// Reads the file; none are there when its path is empty.
    ///
    /// # Errors
    /// A sentence for people, without any value.
    pub(super) fn read(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Ok(Self::default());
        }
        let text =
            std::fs::read_to_string(Path::new(path)).map_err(|problem| format!("{path} can not be read: {problem}"))?;
        Self::parse(&text).map_err(|problem| format!("{path}: {problem}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut settings: Vec<(String, Secret)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let no = index + 1;
            let (key, value) = line.split_once('=').ok_or_else(|| format!("line {no} is not key=value"))?;
            let (key, value) = (key.trim(), value.trim());
            // A line that is no setting may be a secret that slipped: only what looks like a name is shown.
            if key.is_empty() || !key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c))
            {
                return Err(format!("line {no} does not begin with the name of a setting"));
            }
            if OWN_SETTINGS.contains(&key) {
                return Err(format!("line {no}: {key} is set by the dispatcher itself and must not be here"));
            }
            if settings.iter().any(|(earlier, _)| earlier == key) {
                return Err(format!("line {no}: {key} is there twice"));
            }
            settings.push((key.to_owned(), Secret::from(value.to_owned())));
        }
        Ok(Self(settings))
    }

    /// Returns names and values; the values are not for logs, answers or errors.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_comments_are_not() {
        let text = "# for the test cluster\n\nsecurity.protocol = SASL_SSL\r\nsasl.password=a=b #c\n!x\n";
        let settings = ClientSettings::parse(text).expect("settings");
        let read: Vec<_> = settings.iter().map(|(key, value)| (key, value.expose())).collect();
        assert_eq!(read, [("security.protocol", "SASL_SSL"), ("sasl.password", "a=b #c")]);
        assert!(!format!("{settings:?}").contains("a=b"), "{settings:?}");
    }

    #[test]
    fn mistakes_are_named_without_their_values() {
        for (text, problem) in [
            ("sasl.password hunter2", "line 1 is not key=value"),
            ("\nhunter 2=hunter2", "line 2 does not begin with the name of a setting"),
            ("=hunter2", "line 1 does not begin with the name of a setting"),
            (
                "enable.idempotence=hunter2",
                "line 1: enable.idempotence is set by the dispatcher itself and must not be here",
            ),
            ("ssl.ca.location=a\nssl.ca.location=hunter2", "line 2: ssl.ca.location is there twice"),
        ] {
            assert_eq!(ClientSettings::parse(text).expect_err(text), problem);
        }
    }

    #[test]
    fn own_settings_are_in_order() {
        assert!(OWN_SETTINGS.is_sorted());
    }
}
