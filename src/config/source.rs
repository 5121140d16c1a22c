//! Merges the sources and reads them section by section, key by key, so that no mistake hides another.

use ::config::{ConfigError, Environment, File, FileFormat, Map, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::problems::Problems;
use super::{ENVIRONMENT_PREFIX, Sources};

/// Sections with their keys.
pub(super) type Tables = Map<String, Value>;

/// Names of the sections, for the message about an unknown one.
const SECTIONS: &str = "server, store, queue, auth, rate_limits, dispatch, gateway, media, webhooks, mail, telemetry";

/// Merges files and environment; a file that can not be read is a problem and is left out.
pub(super) fn merge(sources: &Sources, problems: &mut Problems) -> Tables {
    let mut builder = ::config::Config::builder();
    for path in &sources.files {
        let file = File::from(path.as_path()).format(FileFormat::Toml);
        match ::config::Config::builder().add_source(file.clone()).build() {
            Ok(alone) => {
                note_origins(&alone.cache, problems, |_| path.display().to_string());
                builder = builder.add_source(file);
            }
            Err(problem) => problems.push("", describe_unreadable(path, &problem)),
        }
    }
    let variables = sources.environment.iter().filter(|(key, _)| key.starts_with(ENVIRONMENT_PREFIX)).cloned();
    let environment = Environment::with_prefix(ENVIRONMENT_PREFIX.trim_end_matches('_'))
        .prefix_separator("__")
        .separator("__")
        .source(Some(variables.collect()));
    if let Ok(alone) = ::config::Config::builder().add_source(environment.clone()).build() {
        let variable = |key: &str| format!("{ENVIRONMENT_PREFIX}{}", key.to_uppercase().replace('.', "__"));
        note_origins(&alone.cache, problems, variable);
    }
    match builder.add_source(environment).build().map(|merged| merged.cache.kind) {
        Ok(ValueKind::Table(tables)) => tables,
        Ok(_) => Tables::new(),
        Err(problem) => {
            problems.push("", describe(&problem));
            Tables::new()
        }
    }
}

/// Remembers the source of every section and key of a tree.
fn note_origins(tree: &Value, problems: &mut Problems, origin: impl Fn(&str) -> String) {
    let ValueKind::Table(sections) = &tree.kind else { return };
    for (name, section) in sections {
        problems.note_origin(name, origin(name));
        let ValueKind::Table(keys) = &section.kind else {
            continue;
        };
        for key in keys.keys() {
            let path = format!("{name}.{key}");
            problems.note_origin(&path, origin(&path));
        }
    }
}

/// Takes one section out and reads it; a key that is unknown or of a wrong type keeps its default.
pub(super) fn section<T>(name: &str, tables: &mut Tables, problems: &mut Problems) -> T
where
    T: Default + DeserializeOwned,
{
    let Some(section) = tables.remove(name) else {
        return T::default();
    };
    let ValueKind::Table(keys) = section.kind else {
        problems.push(name, "must be a section with keys");
        return T::default();
    };
    let mut good = Tables::new();
    for (key, value) in keys {
        let path = format!("{name}.{key}");
        let alone = Tables::from_iter([(key.clone(), value.clone())]);
        match Value::new(None, ValueKind::Table(alone)).try_deserialize::<T>() {
            Ok(_) => {
                good.insert(key, value);
            }
            Err(problem) => problems.push(&path, describe(&problem)),
        }
    }
    Value::new(None, ValueKind::Table(good)).try_deserialize().unwrap_or_else(|problem| {
        problems.push(name, describe(&problem));
        T::default()
    })
}

/// Notes every section that nobody took.
pub(super) fn refuse_unknown_sections(tables: Tables, problems: &mut Problems) {
    for name in tables.into_keys() {
        problems.push(&name, format!("unknown section, expected one of {SECTIONS}"));
    }
}

fn describe_unreadable(path: &std::path::Path, problem: &ConfigError) -> String {
    match problem {
        ConfigError::FileParse { cause, .. } => {
            format!("{} is not TOML: {}", path.display(), cause.to_string().trim_end())
        }
        _ if !path.exists() => format!("{} does not exist", path.display()),
        other => format!("{} can not be read: {other}", path.display()),
    }
}

/// Says what is wrong with a value, without its key and origin, which [`Problems`] adds.
fn describe(problem: &ConfigError) -> String {
    match problem {
        ConfigError::Type { unexpected, expected, .. } => format!("must be {expected}, is {unexpected}"),
        ConfigError::At { error, .. } => describe(error),
        ConfigError::Message(text) => text.clone(),
        other => other.to_string(),
    }
}
