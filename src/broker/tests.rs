//! What the settings may and may not do to the clients.

use std::time::Duration;

use super::*;
use crate::config::{OWN_SETTINGS, Sources};

fn broker() -> Broker {
    broker_with("").expect("a broker")
}

/// Makes a broker by settings, with a file of further settings of the client.
fn broker_with(client_file: &str) -> Result<Broker, BrokerError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("client.properties");
    std::fs::write(&path, client_file).expect("a writable temporary folder");
    let environment = [
        ("KIND", "kafka"),
        ("BROKERS", "kafka1:9092, [::1]:9093"),
        ("INSTANCE_ID", "node-1"),
        ("SESSION_TIMEOUT_MS", "6000"),
        ("CLIENT_FILE", path.to_str().expect("UTF-8")),
    ];
    let environment = environment.map(|(key, value)| (format!("DISPATCHER__QUEUE__{key}"), value.to_owned()));
    let sources = Sources { files: Vec::new(), environment: environment.to_vec() };
    let config = crate::config::Config::load(&sources).expect("good settings");
    Broker::new(config.queue.kafka.expect("kind is kafka"))
}

#[test]
fn whatever_we_set_can_not_be_set_otherwise() {
    let broker = broker();
    for config in [
        broker.client_config(),
        consumer::consumer_config(&broker),
        control::plain_config(&broker),
        producer::producer_config(&broker),
    ] {
        for key in config.config_map().keys() {
            assert!(OWN_SETTINGS.contains(key), "{key} may be overridden");
        }
        // The client library knows all of them and takes the values.
        config.create_native_config().expect("settings that the client takes");
    }
}

#[test]
fn further_settings_reach_every_client() {
    let broker = broker_with("security.protocol = sasl_ssl\nsasl.password = hunter2\n").expect("a broker");
    for config in [consumer::consumer_config(&broker), producer::producer_config(&broker)] {
        assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
    }
    assert!(!format!("{broker:?}").contains("hunter2"), "{broker:?}");
}

#[test]
fn a_setting_that_the_client_does_not_take_is_named_without_its_value() {
    for (text, key) in
        [("sasl.pasword = hunter2", "sasl.pasword"), ("security.protocol = hunter2", "security.protocol")]
    {
        let error = broker_with(text).expect_err(text);
        assert!(matches!(&error, BrokerError::Setting { key: named } if named == key), "{error}");
        assert!(!format!("{error}: {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn members_of_the_group_are_as_configured() {
    let config = consumer::consumer_config(&broker());
    assert_eq!(config.get("bootstrap.servers"), Some("kafka1:9092,[::1]:9093"));
    assert_eq!(config.get("group.instance.id"), Some("node-1"));
    assert_eq!(config.get("session.timeout.ms"), Some("6000"));
    assert!(
        Duration::from_millis(config.get("heartbeat.interval.ms").expect("set").parse().expect("a number"))
            <= Duration::from_secs(2)
    );
}
