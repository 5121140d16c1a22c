//! Settings as files and variables in, settled values or problems out.

use super::*;

fn sources(text: &str, environment: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("given.toml");
    std::fs::write(&path, text).expect("a writable temporary folder");
    let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    (folder, Sources { files: vec![path], environment })
}

/// Returns the problems as text, with the folder of the file cut off.
fn problems_of(text: &str, environment: &[(&str, &str)]) -> String {
    let (folder, sources) = sources(text, environment);
    let problems = Config::load(&sources).expect_err("mistakes").to_string();
    problems.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn default_file_says_exactly_the_built_in_values() {
    let file: toml::Table = include_str!("../../config/default.toml").parse().expect("TOML");
    let built_in = toml::Table::try_from(ConfigFile::default()).expect("settings are a table");
    assert_eq!(file, built_in);
}

#[test]
fn built_in_values_are_good() {
    let (_, text) = Config::load_with_text(&Sources::default()).expect("no problems");
    assert!(text.contains("listen = \"127.0.0.1:8080\""), "{text}");
    assert_eq!(Config::default().gateway.app_secret.expose(), "simulator");
}

#[test]
fn every_key_has_a_comment_above_it() {
    let lines: Vec<&str> = include_str!("../../config/default.toml").lines().collect();
    for pair in lines.windows(2) {
        if pair[1].contains(" = ") && !pair[1].starts_with('#') {
            assert!(pair[0].starts_with("# "), "{} has no comment", pair[1]);
        }
    }
}

#[test]
fn environment_beats_file_beats_default() {
    let text = "[store]\nconnections_max = 3\n[dispatch]\ndefault_burst = 2\n";
    let environment = [
        ("DISPATCHER__STORE__CONNECTIONS_MAX", "5"),
        ("DISPATCHER__SERVER__CORS_ORIGINS", "https://a.example, https://b.example"),
        ("DISPATCHER__GATEWAY__ACCESS_TOKEN", "0123"),
        ("DISPATCHER_PORT", "tcp://ignored"),
        ("PATH", "/ignored"),
    ];
    let (_folder, sources) = sources(text, &environment);
    let config = Config::load(&sources).expect("no problems");
    assert_eq!(config.store.connections_max, 5);
    assert_eq!(config.dispatch.default_pacing.burst().get(), 2);
    assert_eq!(config.server.cors_origins.len(), 2);
    assert_eq!(config.gateway.access_token.expose(), "0123");
}

#[test]
fn secrets_are_never_printed() {
    let text = "[store]\nurl = \"postgres://ana:hunter2@db/x\"\n";
    let token = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let (_folder, sources) = sources(text, &[("DISPATCHER__AUTH__JWT_SECRET", token)]);
    let (config, text) = Config::load_with_text(&sources).expect("no problems");
    assert!(!text.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{text}");
    assert!(text.contains("jwt_secret = \"***\"") && text.contains("postgres://ana:***@db/x"), "{text}");
    assert_eq!(config.auth.jwt_secret.map(|secret| secret.expose().to_owned()).as_deref(), Some(token));
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = r#"
        colour = "red"
        queue = 3
        [server]
        listen = "localhost"
        lisen = "127.0.0.1:1"
        request_timeout_ms = "soon"
        cors_origins = ["app.example.com"]
        trusted_proxies = ["10.0.0.0/8", "10.0.0.0/33"]
        [rate_limits]
        key_per_minute = 600001
        user_burst = 0
        [auth]
        jwt_secret = "short"
        token_lifetime_hours = -1
        [dispatch]
        default_rate_per_minute = 0.0
        [gateway]
        kind = "cloud"
        api_version = "25"
        [telemetry]
        log = "info,x=loud"
        log_form = "xml"
    "#;
    let environment = [
        ("DISPATCHER__STORE__URL", "mysql://db"),
        ("DISPATCHER__STORE__URI", "sqlite:x"),
        ("DISPATCHER__STOER__URL", "sqlite:x"),
        ("DISPATCHER__DISPATCH__DEFAULT_BURST", "65"),
    ];
    insta::assert_snapshot!(problems_of(text, &environment), @r#"
    auth.jwt_secret: must have at least 32 bytes, or be empty for one drawn at each start (in given.toml)
    auth.token_lifetime_hours: must be an unsigned 64 bit or less integer, is 64-bit integer `-1` (in given.toml)
    colour: unknown section, expected one of server, store, queue, auth, rate_limits, dispatch, gateway, media, webhooks, mail, telemetry (in given.toml)
    dispatch.default_burst: must be between 1 and 64 (in DISPATCHER__DISPATCH__DEFAULT_BURST)
    dispatch.default_rate_per_minute: must be between 0.0007 (one a day) and 60000 (1,000 a second) (in given.toml)
    gateway.access_token: must be set when gateway.kind is "cloud"
    gateway.api_version: must be a version such as v25.0, is "25" (in given.toml)
    gateway.app_secret: must be set when gateway.kind is "cloud"
    gateway.base_url: must begin with https:// when gateway.kind is "cloud"
    gateway.verify_token: must be set when gateway.kind is "cloud"
    queue: must be a section with keys (in given.toml)
    rate_limits.key_per_minute: must be between 0 and 600000, is 600001 (in given.toml)
    rate_limits.user_burst: must be between 1 and 100000, is 0 (in given.toml)
    server.cors_origins: each must be an origin such as https://app.example.com, or *; "app.example.com" is not (in given.toml)
    server.lisen: unknown field `lisen`, expected one of `listen`, `admin_listen`, `request_timeout_ms`, `cors_origins`, `trusted_proxies` (in given.toml)
    server.listen: must be ADDRESS:PORT such as 127.0.0.1:8080, is "localhost" (in given.toml)
    server.request_timeout_ms: must be an integer, is string "soon" (in given.toml)
    server.trusted_proxies: each must be an address or a network such as 10.0.0.0/8; "10.0.0.0/33" is not (in given.toml)
    stoer: unknown section, expected one of server, store, queue, auth, rate_limits, dispatch, gateway, media, webhooks, mail, telemetry (in DISPATCHER__STOER)
    store.uri: unknown field `uri`, expected `url` or `connections_max` (in DISPATCHER__STORE__URI)
    store.url: must be sqlite:PATH or postgres://USER@HOST/DATABASE (in DISPATCHER__STORE__URL)
    telemetry.log: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5 (in given.toml)
    telemetry.log_form: must be "text" or "json", is "xml" (in given.toml)
    "#);
}

#[test]
fn files_that_can_not_be_read_are_named_with_the_other_problems() {
    insta::assert_snapshot!(
        problems_of("[server\nlisten = 1", &[("DISPATCHER__STORE__CONNECTIONS_MAX", "0")]), @r#"
    given.toml is not TOML: TOML parse error at line 1, column 8
      |
    1 | [server
      |        ^
    unclosed table, expected `]`
    store.connections_max: must be between 1 and 256, is 0 (in DISPATCHER__STORE__CONNECTIONS_MAX)
    "#);
    let missing = Sources { files: vec!["/nowhere/x.toml".into()], environment: Vec::new() };
    insta::assert_snapshot!(Config::load(&missing).expect_err("no file"), @r#"/nowhere/x.toml does not exist"#);
}

#[test]
fn mistakes_about_the_broker_are_found() {
    let text = r#"
        [queue]
        kind = "kafka"
        brokers = ["kafka1", "kafka2:9092", ":1", "a b:1"]
        jobs_topic = "jobs"
        control_topic = "jobs"
        events_topic = "with space"
        partitions = 0
        replication = 33
        group = ""
        instance_id = "a/b"
        session_timeout_ms = 999
        client_file = "/nowhere/client.properties"
    "#;
    insta::assert_snapshot!(problems_of(text, &[]), @r#"
    queue.brokers: each must be HOST:PORT such as kafka1:9092, "kafka1" is not (in given.toml)
    queue.brokers: each must be HOST:PORT such as kafka1:9092, ":1" is not (in given.toml)
    queue.brokers: each must be HOST:PORT such as kafka1:9092, "a b:1" is not (in given.toml)
    queue.client_file: /nowhere/client.properties can not be read: No such file or directory (os error 2) (in given.toml)
    queue.control_topic: must not be the topic of queue.jobs_topic (in given.toml)
    queue.events_topic: must be 1 to 249 letters, digits, dots, dashes and underscores (in given.toml)
    queue.group: must be 1 to 249 letters, digits, dots, dashes and underscores (in given.toml)
    queue.instance_id: must be empty, or up to 249 letters, digits, dots, dashes and underscores (in given.toml)
    queue.partitions: must be between 1 and 1024, is 0 (in given.toml)
    queue.replication: must be between 1 and 32, is 33 (in given.toml)
    queue.session_timeout_ms: must be between 1000 and 300000, is 999 (in given.toml)
    "#);
    let alone = problems_of("[queue]\nkind = \"kafka\"\n", &[]);
    assert_eq!(alone, "queue.brokers: must be set when queue.kind is \"kafka\"");
}

#[test]
fn a_broker_is_set_by_the_environment() {
    let environment = [
        ("DISPATCHER__QUEUE__KIND", "kafka"),
        ("DISPATCHER__QUEUE__BROKERS", "kafka1:9092, [::1]:9093"),
        ("DISPATCHER__QUEUE__PARTITIONS", "12"),
        ("DISPATCHER__QUEUE__CREATE_TOPICS", "false"),
    ];
    let (_folder, sources) = sources("", &environment);
    let queue = Config::load(&sources).expect("no problems").queue;
    let kafka = queue.kafka.expect("kind is kafka");
    assert_eq!((queue.kind, queue.partitions.get(), kafka.partitions.get()), (QueueKind::Kafka, 12, 12));
    assert_eq!(
        (kafka.brokers, kafka.create_topics, kafka.instance_id),
        (vec!["kafka1:9092".into(), "[::1]:9093".into()], false, None)
    );
    assert!(Config::default().queue.kafka.is_none());
}

#[test]
fn mistakes_about_mail_and_keys_are_found() {
    let text = r#"
        [mail]
        from = "Shop <no-reply@shop.example>\r\nBcc: eve@example.com"
        server = "smtp://ana:hunter2@mail.example.com"
        directory = "mails"
        timeout_ms = 0
        app_url = "ftp://app.example.com"
        [auth]
        jwt_accepted_secrets = ["short"]
    "#;
    insta::assert_snapshot!(problems_of(text, &[]), @r#"
    auth.jwt_accepted_secrets: each must have at least 32 bytes (in given.toml)
    mail.app_url: must be an address such as https://app.example.com, is "ftp://app.example.com" (in given.toml)
    mail.directory: must be empty when mail.server is set (in given.toml)
    mail.from: must be an address, or a name and an address such as Shop <no-reply@example.com>, is "Shop <no-reply@shop.example>\r\nBcc: eve@example.com" (in given.toml)
    mail.server: must end in ?tls=required, or the password would go over the network as it is (in given.toml)
    mail.timeout_ms: must be between 1000 and 120000, is 0 (in given.toml)
    "#);
    for bad in [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://",
        "smtps://ana@h",
        "smtps://:x@h",
        "smtp://h?tls=opportunistic",
    ] {
        let problems = problems_of("", &[("DISPATCHER__MAIL__SERVER", bad)]);
        assert!(problems.starts_with("mail.server: must be smtps://") && !problems.contains("example"), "{problems}");
    }
}

#[test]
fn mail_is_set_by_the_environment() {
    let (one, other) = ("a".repeat(32), "b".repeat(32));
    let environment = [
        ("DISPATCHER__MAIL__SERVER", "smtps://ana:hunter2@mail.example.com"),
        ("DISPATCHER__MAIL__FROM", "no-reply@example.com"),
        ("DISPATCHER__MAIL__APP_URL", "https://app.example.com/"),
        ("DISPATCHER__AUTH__JWT_ACCEPTED_SECRETS", &format!("{one},{other}")),
    ];
    let (_folder, sources) = sources("", &environment);
    let (config, text) = Config::load_with_text(&sources).expect("no problems");
    assert_eq!(config.mail.app_url.as_deref(), Some("https://app.example.com"));
    assert!(matches!(config.mail.carrier, MailCarrier::Server(_)));
    assert_eq!(config.auth.jwt_accepted_secrets.iter().map(Secret::expose).collect::<Vec<_>>(), [&one, &other]);
    assert!(!text.contains("hunter2") && !text.contains(&one) && !format!("{config:?}").contains(&other), "{text}");
    assert!(matches!(Config::default().mail.carrier, MailCarrier::Nobody));
}

#[test]
fn a_place_by_s3_is_checked_with_what_it_needs() {
    let text = "[media]\nurl = \"s3://media/of/us/\"\nimage_bytes_max = 5242881\ns3_endpoint = \"s3.example.com\"\n";
    insta::assert_snapshot!(problems_of(text, &[]), @r#"
    media.image_bytes_max: must be between 1 and 5242880, is 5242881 (in given.toml)
    media.s3_access_key_id: must be set when media.url begins with s3://
    media.s3_endpoint: must be an address such as https://s3.example.com, or empty for Amazon's; is "s3.example.com" (in given.toml)
    media.s3_secret_access_key: must be set when media.url begins with s3://
    "#);
    let alone = problems_of("[media]\nurl = \"ftp://x\"\n", &[]);
    assert_eq!(alone, "media.url: must be file:DIRECTORY or s3://BUCKET/PREFIX, is \"ftp://x\" (in given.toml)");
    let environment = [
        ("DISPATCHER__MEDIA__URL", "s3://media/of/us/"),
        ("DISPATCHER__MEDIA__S3_ACCESS_KEY_ID", "us"),
        ("DISPATCHER__MEDIA__S3_SECRET_ACCESS_KEY", "hunter2"),
    ];
    let (_folder, sources) = sources("", &environment);
    let (config, text) = Config::load_with_text(&sources).expect("no problems");
    assert!(!text.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{text}");
    let MediaPlaceConfig::S3 { name, prefix, .. } = config.media.place else { panic!("a bucket") };
    assert_eq!((name.as_str(), prefix.as_str()), ("media", "of/us"));
}
